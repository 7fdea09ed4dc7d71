//! `tpmssh ca list`: what an authority signed.

use std::fmt;

use anyhow::Context;
use serde::Serialize;
use ssh_format::text::shown;
use ssh_format::{Certificate, Krl};

use crate::app::App;
use crate::certificates::{Contents, State};
use crate::certificates::{authorities, revocations};
use crate::options::AuthorityArgs;
use crate::show::date;
use crate::show::output::{Facts, tell};

/// List the certificates that an authority signed: for whom, until when, and what was revoked
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    authority: AuthorityArgs,
}

pub(crate) fn run(app: &App, args: &Args) -> anyhow::Result<()> {
    let store = app.store()?;
    let authority = authorities::find(app, &store, args.authority.ca.as_deref())?;
    let revoked = revocations::list(&store, &authority)?;
    let now = date::now();
    let mut report = Report(Vec::new());
    for issued in store.issued(authority.object)? {
        let certificate = Certificate::from_blob(&issued.certificate)
            .with_context(|| format!("the record of certificate {}", issued.serial))?;
        report
            .0
            .push(Entry::of(&certificate, issued.created, &revoked, now));
    }
    if report.0.is_empty() {
        tell("tpmssh: no certificates");
    }
    app.out.print(&report)
}

#[derive(Debug, Serialize)]
#[serde(transparent)]
struct Report(Vec<Entry>);

#[derive(Debug, Serialize)]
struct Entry {
    /// When it was signed, in seconds since 1970.
    signed: u64,
    revoked: bool,
    #[serde(flatten)]
    contents: Contents,
}

impl Entry {
    fn of(certificate: &Certificate, signed: u64, krl: &Krl, now: u64) -> Self {
        Self {
            signed,
            revoked: krl.revokes_certificate(certificate),
            contents: Contents::of(certificate, State::at(certificate, signed, now)),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for entry in &self.0 {
            let revoked = if entry.revoked { ", revoked" } else { "" };
            writeln!(f, "\"{}\"{revoked}", shown(&entry.contents.key_id))?;
            let mut facts = Facts::default();
            entry.contents.describe(&mut facts);
            facts.add("signed", date::in_words(entry.signed));
            for line in facts.to_string().lines() {
                writeln!(f, "  {line}")?;
            }
        }
        Ok(())
    }
}
