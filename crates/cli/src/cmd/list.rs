//! `tpmssh list`: keys, certificates and data.

mod entry;

use std::fmt;

use serde::Serialize;
use ssh_format::text::shown;

use self::entry::Entry;
use crate::app::App;
use crate::certificates;
use crate::keys;
use crate::show::output::{escape, tell};
use crate::show::style::Tone;
use crate::show::table::Table;

/// List keys, certificates and data
///
/// One line each, with the beginning of the id and of the fingerprint, which commands take for the
/// key. It needs neither the TPM nor a PIN.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Show more of each: the whole id and fingerprint, when a key was made, what a certificate says
    #[arg(long, short)]
    long: bool,
}

pub(crate) fn run(app: &App, args: &Args) -> anyhow::Result<()> {
    let store = app.store()?;
    let mut report = Report {
        entries: Vec::new(),
        long: args.long,
    };
    for token in app.some_tokens(&store)? {
        let objects = store.objects(token.id)?;
        let authorities = store.authorities(token.id)?;
        for object in &objects {
            if !keys::is_shown_by_its_private_half(object, &objects) {
                let is_authority = authorities.contains(&object.id);
                let entry = Entry::of_object(&token, object, is_authority)?;
                report.entries.push(entry);
            }
        }
        let certificates = certificates::of_token(&store, &token)?;
        let entries = certificates.into_iter().map(Entry::SshCertificate);
        report.entries.extend(entries);
        for refused in store.refused(token.id)? {
            tell(&format!(
                "tpmssh: key \"{}\" is refused and hidden: {}",
                shown(&refused.label),
                escape(&refused.reason)
            ));
        }
    }
    if report.entries.is_empty() {
        tell("tpmssh: no objects");
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

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.long {
            return self.describe(f);
        }
        if self.entries.is_empty() {
            return Ok(());
        }
        let first = self.entries.first().map(Entry::token);
        let several = self.entries.iter().any(|it| Some(it.token()) != first);
        let mut table = Table::new(["LABEL", "KIND", "TYPE", "ID", "FINGERPRINT", "TOKEN"]);
        for entry in &self.entries {
            let row = entry.row();
            table.toned_row([
                (&row.label, Tone::Plain),
                (row.kind, Tone::Plain),
                (&row.of_type, row.tone),
                (&row.id, Tone::Plain),
                (&row.fingerprint, Tone::Plain),
                (if several { entry.token() } else { "" }, Tone::Plain),
            ]);
        }
        table.fmt(f)
    }
}

impl Report {
    /// Several lines each, below their token.
    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut token = None;
        for entry in &self.entries {
            if token != Some(entry.token()) {
                token = Some(entry.token());
                writeln!(f, "token \"{}\"", shown(entry.token()))?;
            }
            let (line, facts) = entry.describe();
            writeln!(f, "  {line}")?;
            for line in facts.to_string().lines() {
                writeln!(f, "    {line}")?;
            }
        }
        Ok(())
    }
}
