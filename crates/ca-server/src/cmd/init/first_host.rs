//! The join token for the first host, and what brings the host in.

use std::env;
use std::path::PathBuf;

use anyhow::Context;
use serde_json::{Value, json};
use ssh_format::text::shell_word;

use crate::admin::{Books, assignment, make_join_tokens};
use crate::clock::now;
use crate::cmd::dir::Dir;
use crate::cmd::tls;
use crate::files;
use crate::policy::Policy;
use crate::private_tls::Seen;

/// The role of hosts in the policy that `init` writes.
const ROLE: &str = "host";
/// How long its token is good, in seconds.
const LIFETIME: u64 = 24 * 3600;

/// The first host, and how it is brought in.
pub(super) struct FirstHost {
    name: String,
    /// The file with its token.
    file: PathBuf,
    expires: u64,
    /// The command that copies the token to the host; `None` if the host is this machine.
    bring: Option<String>,
    /// The command that enrols it, run on the host.
    enrol: String,
}

/// Refuses a name that the role makes no principals of.
///
/// # Errors
///
/// Says which name and role.
pub(super) fn check(policy: &Policy, name: &str) -> anyhow::Result<()> {
    assignment(policy, ROLE.to_owned(), name.to_owned()).map(drop)
}

/// Makes a join token for the host `name`, in a file for the user of the node alone. `seen` is the TLS certificate.
///
/// # Errors
///
/// If it cannot be written.
pub(super) fn invite(
    dir: &Dir,
    books: &Books<'_>,
    seen: Option<&Seen>,
    name: &str,
) -> anyhow::Result<FirstHost> {
    let by = format!("uid {}", rustix::process::geteuid().as_raw());
    let names = [name.to_owned()];
    let made = make_join_tokens(books, ROLE, &names, (now(), LIFETIME), 1, &by)?;
    let (token, expires) = (made[0]["token"].as_str(), made[0]["expires"].as_u64());
    let token = token.context("no token was made")?;
    // A killed `init` may have left a file with a token that nobody has seen. It is replaced.
    let file = files::absolute(dir.path())?.join(format!("join-token-{name}"));
    files::replace(&file, 0o600, format!("{token}\n").as_bytes())?;

    let (url, audience) = tls::address(books.policy, seen);
    let pin = match seen {
        Some(seen) if seen.has_root => format!(" --tls-ca-sha256 {}", seen.ca_sha256),
        _ => String::new(),
    };
    let here = shell_word(&file.to_string_lossy());
    let is_remote = !books.policy.listen.address.ip().is_loopback();
    let there = if is_remote { "join-token" } else { &here };
    // A person who ran `init` by `sudo -u` cannot read the file of that user without sudo.
    let sudo = match env::var_os("SUDO_USER") {
        Some(_) if !rustix::process::geteuid().is_root() => "sudo ",
        _ => "",
    };
    Ok(FirstHost {
        bring: is_remote
            .then(|| format!("{sudo}cat {here} | ssh {name} 'umask 077; cat > join-token'")),
        enrol: format!(
            "sudo tpmssh host setup --enroll {} -n {name}{audience} --join-token {there}{pin}",
            shell_word(&url)
        ),
        name: name.to_owned(),
        file,
        expires: expires.unwrap_or(0),
    })
}

impl FirstHost {
    /// The lines for a person.
    pub(super) fn lines(&self) -> String {
        let (name, enrol) = (&self.name, &self.enrol);
        match &self.bring {
            Some(bring) => format!(
                "take its join token to the host {name}, once the node serves; it is good for one day:\n{bring}\nthen on {name}:\n{enrol}\n"
            ),
            None => format!(
                "the node listens at an address of this machine alone, so the host {name} is this machine; once the node serves:\n{enrol}\n"
            ),
        }
    }

    /// The same for programs.
    pub(super) fn json(&self) -> Value {
        json!({
            "name": self.name,
            "join_token_file": self.file,
            "expires": self.expires,
            "bring": self.bring,
            "enroll": self.enrol,
        })
    }
}
