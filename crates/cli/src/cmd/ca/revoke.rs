//! `tpmssh ca revoke`: take a certificate or a key back.

use std::fmt;

use serde::Serialize;
use ssh_format::Certificate;
use ssh_format::text::shown;
use token_store::Revoked;

use super::target::TargetArgs;
use crate::app::App;
use crate::certificates::{Contents, State, authorities, revocations};
use crate::fail::error::AuthorityError;
use crate::options::AuthorityArgs;
use crate::show::date;
use crate::show::output::tell;

/// Revoke a certificate or a key
///
/// Servers learn of it by a new list from tpmssh ca krl. tpmssh ca unrevoke takes it back.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    target: TargetArgs,

    /// Revoke a serial number or key id that no certificate here has
    #[arg(long)]
    force: bool,

    #[command(flatten)]
    authority: AuthorityArgs,
}

pub(crate) fn run(app: &App, args: &Args) -> anyhow::Result<()> {
    let revoked = args.target.revoked("revoke")?;
    let mut store = app.store()?;
    let authority = authorities::find(app, &store, args.authority.ca.as_deref())?;
    let matched = revocations::matched(&store, &authority, &revoked)?;
    let what = match revoked {
        Revoked::Serial(_) => Some("serial number"),
        Revoked::KeyId(_) => Some("key id"),
        // A key can be revoked without a certificate.
        Revoked::Key(_) => None,
    };
    if let Some(what) = what.filter(|_| matched.is_empty() && !args.force) {
        return Err(AuthorityError::NothingToRevoke { what }.into());
    }
    if !store.add_revocation(authority.object, &revoked)? {
        return Err(AuthorityError::RevokedBefore.into());
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

/// `"anna", serial number 7, valid until …`.
pub(super) fn describe(certificate: &Certificate) -> String {
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
