//! `tpmssh-ca tls`: the certificate that `init` made for TLS.

use clap::Subcommand;
use hyper::Uri;
use serde_json::json;
use ssh_format::text::shell_word;
use ssh_format::time::in_words;

use super::Out;
use super::dir::Dir;
use crate::admin::{Question, ask};
use crate::clock::now;
use crate::policy::Policy;
use crate::private_tls::{PrivateTls, Seen, seen};

#[derive(Debug, Subcommand)]
pub(super) enum TlsCommand {
    /// Show the certificate, and what a machine needs to know it
    Show,
    /// Make the next certificate, by the same CA, so that no machine has to be told
    ///
    /// A running node does this by itself 30 days before the certificate ends.
    Renew {
        /// Another name or address of the authority, once for each (the names of the certificate before)
        #[arg(long, value_name = "NAME")]
        tls_name: Vec<String>,
    },
}

pub(super) fn run(dir: &Dir, command: &TlsCommand, out: &Out) -> anyhow::Result<()> {
    dir.check()?;
    let (policy, _) = dir.policy()?;
    let seen = match command {
        TlsCommand::Show => match &policy.listen.certificate {
            Some(certificate) => seen(certificate)?,
            None => anyhow::bail!(
                "the authority has no TLS certificate: it listens at an address of this machine"
            ),
        },
        TlsCommand::Renew { tls_name } => {
            let own = PrivateTls::new(dir.path());
            if !(policy.listen.certificate.as_deref()).is_some_and(|it| own.is_own(it)) {
                anyhow::bail!(
                    "the TLS certificate was not made by tpmssh-ca init: renew it as you made it, then: tpmssh-ca policy reload"
                );
            }
            let names = Some(&tls_name[..]).filter(|it| !it.is_empty());
            let seen = own.renew(names, now())?;
            // If the node does not run, it reads the file when it starts.
            if std::os::unix::net::UnixStream::connect(dir.socket()).is_ok() {
                ask(&dir.socket(), &Question::PolicyReload {})?;
            }
            seen
        }
    };
    let value = json!({"names": seen.names, "until": seen.until, "ca_sha256": seen.ca_sha256});
    out.done(&value, &(shown(&seen) + &lines(&policy, &seen)))
}

/// A line about the certificate, and the SHA-256 of its CA.
pub(super) fn shown(seen: &Seen) -> String {
    format!(
        "the TLS certificate is for {}, until {}; the SHA-256 of its CA is\n{}\n",
        seen.names.join(", "),
        in_words(seen.until),
        seen.ca_sha256
    )
}

/// The commands for a host and for a person, ready to be typed.
pub(super) fn lines(policy: &Policy, seen: &Seen) -> String {
    let (url, name) = address(policy, Some(seen));
    let end = format!(
        "{name} --join-token token --tls-ca-sha256 {}",
        seen.ca_sha256
    );
    format!(
        "on a host, with the join token in the file token:\nsudo tpmssh host setup --enroll {url}{end}\n\
         on the machine of a person:\ntpmssh enroll {url} -n NAME{end}\n"
    )
}

/// The URL by which machines reach the node, and the option `--audience` for clients if the URL is not the audience.
pub(super) fn address(policy: &Policy, seen: Option<&Seen>) -> (String, String) {
    let url = match seen {
        Some(seen) => url(policy, seen),
        None => format!("http://{}/", policy.listen.address),
    };
    let name = if url == policy.audience {
        String::new()
    } else {
        format!(" --audience {}", shell_word(&policy.audience))
    };
    (url, name)
}

/// The URL by which machines reach the node: the audience, with the node's port if the audience has none.
fn url(policy: &Policy, seen: &Seen) -> String {
    let address = policy.listen.address;
    let uri: Option<Uri> = policy.audience.parse().ok();
    let uri = uri.filter(|it| it.scheme_str() == Some("https") && it.host().is_some());
    let host = match &uri {
        Some(uri) if uri.port().is_some() || address.port() == 443 => {
            return policy.audience.clone();
        }
        Some(uri) => uri.host().unwrap_or_default().to_owned(),
        None => match seen.names.first() {
            Some(name) if name.contains(':') => format!("[{name}]"),
            Some(name) => name.clone(),
            None => address.ip().to_string(),
        },
    };
    format!("https://{host}:{}/", address.port())
}
