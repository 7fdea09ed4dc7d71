//! `tpmssh ca list`: the certificates that an authority signed.

use std::fmt;

use anyhow::Context;
use serde::Serialize;
use ssh_format::text::shown;
use ssh_format::{Certificate, Krl};
use token_store::Withdrawn;

use crate::app::App;
use crate::certificates::{Contents, State};
use crate::certificates::{authorities, revocations};
use crate::options::AuthorityArgs;
use crate::show::output::{Facts, tell};
use crate::show::style::Tone;
use crate::show::table::Table;
use crate::show::{date, duration};

/// List the certificates that an authority signed
///
/// One line each: for whom, until when, and whether it is revoked. tpmssh ca revoke --serial takes
/// the serial number.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    authority: AuthorityArgs,

    /// Only those that are valid and end within TIME, such as 14d or 8h
    #[arg(long, value_name = "TIME", value_parser = duration::parse)]
    expiring: Option<u32>,

    /// Show all that each certificate says
    #[arg(long, short)]
    long: bool,
}

pub(crate) fn run(app: &App, args: &Args) -> anyhow::Result<()> {
    let store = app.store()?;
    let authority = authorities::find(app, &store, args.authority.ca.as_deref())?;
    authorities::tell_if_imported(&authority);
    let revoked = revocations::list(&store, &authority)?;
    let withdrawn = store.revocations(authority.object)?.withdrawn;
    let now = date::now();
    let mut report = Report {
        entries: Vec::new(),
        long: args.long,
    };
    for issued in store.issued(authority.object)? {
        let certificate = Certificate::from_blob(&issued.certificate)
            .with_context(|| format!("the record of certificate {}", issued.serial))?;
        let mut entry = Entry::of(&certificate, issued.created, &revoked, now);
        entry.withdrawn = withdrawals(&withdrawn, &certificate);
        if args
            .expiring
            .is_none_or(|within| entry.ends_within(within, now))
        {
            report.entries.push(entry);
        }
    }
    if report.entries.is_empty() {
        tell(match args.expiring {
            None => "tpmssh: no certificates",
            Some(_) => "tpmssh: no certificate ends within this time",
        });
    }
    app.out.print(&report)
}

#[derive(Debug, Serialize)]
#[serde(transparent)]
struct Report {
    entries: Vec<Entry>,
    #[serde(skip)]
    long: bool,
}

#[derive(Debug, Serialize)]
struct Entry {
    /// When it was signed, in seconds since 1970.
    signed: u64,
    revoked: bool,
    /// When revocations of it were withdrawn, in seconds since 1970.
    withdrawn: Vec<u64>,
    #[serde(flatten)]
    contents: Contents,
}

fn withdrawals(all: &[Withdrawn], certificate: &Certificate) -> Vec<u64> {
    let of_it = all
        .iter()
        .filter(|it| revocations::is_about(&it.revoked, certificate));
    of_it.map(|it| it.withdrawn_at).collect()
}

impl Entry {
    fn of(certificate: &Certificate, signed: u64, krl: &Krl, now: u64) -> Self {
        Self {
            signed,
            revoked: krl.revokes_certificate(certificate),
            withdrawn: Vec::new(),
            contents: Contents::of(certificate, State::at(certificate, signed, now)),
        }
    }

    /// Whether it is valid now, and no longer valid `seconds` later.
    fn ends_within(&self, seconds: u32, now: u64) -> bool {
        let end = now.saturating_add(seconds.into());
        let ends = self.contents.valid_before.is_some_and(|at| at <= end);
        ends && self.contents.state == State::Valid && !self.revoked
    }

    /// Its state in a word, and the colour.
    fn state(&self) -> (&'static str, Tone) {
        match self.revoked {
            true => ("revoked", Tone::Bad),
            false => (self.contents.state.word(), self.contents.state.tone()),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.long {
            return self.describe(f);
        }
        if self.entries.is_empty() {
            return Ok(());
        }
        let mut table = Table::new(["SERIAL", "KEY ID", "TYPE", "STATE", "UNTIL", "PRINCIPALS"]);
        for entry in &self.entries {
            let contents = &entry.contents;
            table.toned_row([
                (&contents.serial, Tone::Plain),
                (&contents.key_id, Tone::Plain),
                (contents.kind, Tone::Plain),
                entry.state(),
                (&contents.until(), Tone::Plain),
                (&contents.names(), Tone::Plain),
            ]);
        }
        table.fmt(f)
    }
}

impl Report {
    /// Several lines each.
    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for entry in &self.entries {
            let revoked = if entry.revoked { ", revoked" } else { "" };
            writeln!(f, "\"{}\"{revoked}", shown(&entry.contents.key_id))?;
            let mut facts = Facts::default();
            entry.contents.describe(&mut facts);
            facts.add("signed", date::in_words(entry.signed));
            for time in &entry.withdrawn {
                facts.add("revocation withdrawn", date::in_words(*time));
            }
            for line in facts.to_string().lines() {
                writeln!(f, "  {line}")?;
            }
        }
        Ok(())
    }
}
