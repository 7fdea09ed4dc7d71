//! `tpmssh ca unrevoke`: withdraw a revocation.

use std::fmt;

use serde::Serialize;

use super::revoke::describe;
use super::target::TargetArgs;
use crate::app::App;
use crate::ask::confirm;
use crate::certificates::{Contents, State, authorities, revocations};
use crate::fail::error::AuthorityError;
use crate::options::AuthorityArgs;
use crate::show::date;
use crate::show::output::tell;
use crate::show::words::count;

/// Withdraw the revocation of a certificate or key
///
/// Name what was revoked in the same way as for tpmssh ca revoke. Servers learn of it by a new list
/// from tpmssh ca krl, which replaces a longer one then. tpmssh ca list --long keeps showing that
/// there was a revocation, and when it was withdrawn.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    target: TargetArgs,

    /// Do not ask
    #[arg(long, short)]
    yes: bool,

    #[command(flatten)]
    authority: AuthorityArgs,
}

pub(crate) fn run(app: &App, args: &Args) -> anyhow::Result<()> {
    let revoked = args.target.revoked("unrevoke")?;
    let mut store = app.store()?;
    let authority = authorities::find(app, &store, args.authority.ca.as_deref())?;
    if !store
        .revocations(authority.object)?
        .revoked
        .contains(&revoked)
    {
        return Err(AuthorityError::NotRevoked.into());
    }
    let matched = revocations::matched(&store, &authority, &revoked)?;
    let question = format!(
        "Servers with the next list will not refuse this any more ({}). Go on?",
        count(matched.len(), "certificate")
    );
    confirm::confirm(&question, args.yes)?;
    if !store.withdraw_revocation(authority.object, &revoked)? {
        return Err(AuthorityError::NotRevoked.into());
    }

    // A certificate may be revoked in another way as well.
    let list = revocations::list(&store, &authority)?;
    let (still, accepted): (Vec<_>, Vec<_>) = matched
        .into_iter()
        .partition(|certificate| list.revokes_certificate(certificate));
    let now = date::now();
    let contents = |certificates: &[ssh_format::Certificate]| {
        let of = |it| Contents::of(it, State::at(it, now, now));
        certificates.iter().map(of).collect()
    };
    let report = Report {
        accepted: contents(&accepted),
        still_revoked: contents(&still),
    };
    if app.out.is_json() {
        let done = "the revocation is withdrawn";
        return app
            .out
            .print_done(&report, done, "see it with: tpmssh ca list");
    }
    for certificate in &accepted {
        tell(&format!(
            "tpmssh: not revoked any more: {}",
            describe(certificate)
        ));
    }
    for certificate in &still {
        tell(&format!(
            "tpmssh: still revoked by its serial number, key id or key: {}",
            describe(certificate)
        ));
    }
    if accepted.is_empty() && still.is_empty() {
        tell(
            "tpmssh: the revocation is withdrawn; no certificate that this authority signed is concerned",
        );
    }
    tell("tpmssh: give servers a new list: tpmssh ca krl FILE");
    Ok(())
}

/// The certificates that were concerned, for `--json`.
#[derive(Debug, Serialize)]
struct Report {
    accepted: Vec<Contents>,
    still_revoked: Vec<Contents>,
}

impl fmt::Display for Report {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        Ok(())
    }
}
