//! `tpmssh ca revoke`: take a certificate or a key back.

use std::fmt;
use std::path::PathBuf;

use serde::Serialize;
use ssh_format::Certificate;
use ssh_format::text::shown;
use token_store::{Revoked, Store};

use crate::app::App;
use crate::certificates::{Contents, State, authorities};
use crate::fail::error::Error;
use crate::files::input_file;
use crate::files::key_file::{self, Entry};
use crate::keys::signing::SigningKey;
use crate::options::AuthorityArgs;
use crate::show::date;
use crate::show::output::tell;

/// Revoke a certificate or a key; servers learn of it by a new list from tpmssh ca krl
#[derive(Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("what").required(true)))]
pub(crate) struct Args {
    /// Revoke the certificate with this serial number, which tpmssh ca list shows
    #[arg(long, group = "what")]
    serial: Option<u64>,

    /// Revoke all certificates with this key id
    #[arg(long, group = "what", value_name = "ID")]
    key_id: Option<String>,

    /// Revoke the public key in FILE, with every certificate for it; - is standard input
    ///
    /// If FILE has a certificate, the key in it is meant.
    #[arg(long, group = "what", value_name = "FILE")]
    key: Option<PathBuf>,

    /// Revoke a serial number or key id that no certificate here has
    #[arg(long)]
    force: bool,

    #[command(flatten)]
    authority: AuthorityArgs,
}

pub(crate) fn run(app: &App, args: &Args) -> anyhow::Result<()> {
    let revoked = args.revoked()?;
    let mut store = app.store()?;
    let authority = authorities::find(app, &store, args.authority.ca.as_deref())?;
    let matched = matched(&store, &authority, &revoked)?;
    let what = match revoked {
        Revoked::Serial(_) => Some("serial number"),
        Revoked::KeyId(_) => Some("key id"),
        // A key is revoked by itself as well.
        Revoked::Key(_) => None,
    };
    if let Some(what) = what.filter(|_| matched.is_empty() && !args.force) {
        return Err(Error::NothingToRevoke { what }.into());
    }
    if !store.add_revocation(authority.object, &revoked)? {
        return Err(Error::RevokedBefore.into());
    }
    let now = date::now();
    let report = Report {
        revoked: matched
            .iter()
            .map(|it| Contents::of(it, State::at(it, now, now)))
            .collect(),
    };
    if app.out.is_json() {
        let done = "the revocation is recorded";
        return app
            .out
            .print_done(&report, done, "see it with: tpmssh ca list");
    }
    for certificate in &matched {
        tell(&format!("tpmssh: revoked: {}", describe(certificate)));
    }
    if matched.is_empty() {
        tell("tpmssh: revoked; no certificate that this authority signed is concerned");
    }
    tell("tpmssh: give servers a new list: tpmssh ca krl FILE");
    Ok(())
}

/// The certificates that are revoked now, for `--json`.
#[derive(Debug, Serialize)]
struct Report {
    revoked: Vec<Contents>,
}

impl fmt::Display for Report {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        Ok(())
    }
}

/// The certificates that a revocation is about, of those that the authority signed.
fn matched(
    store: &Store,
    authority: &SigningKey,
    revoked: &Revoked,
) -> anyhow::Result<Vec<Certificate>> {
    let issued = store.issued(authority.object)?;
    let certificates = issued
        .iter()
        .filter_map(|it| Certificate::from_blob(&it.certificate).ok());
    let is_meant = |it: &Certificate| match revoked {
        Revoked::Serial(serial) => it.serial() == *serial,
        Revoked::KeyId(id) => it.key_id() == id,
        Revoked::Key(blob) => it.key().blob() == blob,
    };
    Ok(certificates.filter(is_meant).collect())
}

/// `"anna", serial number 7, valid until …`.
fn describe(certificate: &Certificate) -> String {
    let until = match certificate.valid_before() {
        u64::MAX => "without an end".to_owned(),
        end => format!("valid until {}", date::in_words(end)),
    };
    format!(
        "\"{}\", serial number {}, {until}",
        shown(certificate.key_id()),
        certificate.serial()
    )
}

impl Args {
    fn revoked(&self) -> anyhow::Result<Revoked> {
        if let Some(serial) = self.serial {
            return match serial {
                0 => Err(ssh_format::Error::SerialZero.into()),
                serial => Ok(Revoked::Serial(serial)),
            };
        }
        if let Some(id) = &self.key_id {
            return Ok(Revoked::KeyId(id.clone()));
        }
        let file = self.key.clone().unwrap_or_default();
        let key = match key_file::read(&file)? {
            Entry::Key(key) => key,
            Entry::Certificate(certificate) => {
                tell(&format!(
                    "tpmssh: {} is a certificate: its key is revoked, with every certificate for it; \
                     for this one alone: tpmssh ca revoke --serial {}",
                    input_file::name(&file),
                    certificate.serial()
                ));
                certificate.key().clone()
            }
        };
        Ok(Revoked::Key(key.blob().to_vec()))
    }
}
