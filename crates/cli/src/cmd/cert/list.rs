//! `tpmssh cert list`: the certificates that are kept.

use std::fmt;

use serde::Serialize;

use crate::app::App;
use crate::certificates::{self, Kept};
use crate::show::output::tell;
use crate::show::style::Tone;
use crate::show::table::Table;

/// List the certificates that are kept beside the keys
///
/// One line each. The number is what tpmssh cert export and tpmssh cert remove take.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Show all that each certificate says
    #[arg(long, short)]
    long: bool,
}

pub(crate) fn run(app: &App, args: &Args) -> anyhow::Result<()> {
    let report = Report {
        certificates: certificates::all(app)?,
        long: args.long,
    };
    if report.certificates.is_empty() {
        tell("tpmssh: no certificates");
    }
    app.out.print(&report)
}

#[derive(Debug, Serialize)]
#[serde(transparent)]
struct Report {
    certificates: Vec<Kept>,
    #[serde(skip)]
    long: bool,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.long {
            return self.describe(f);
        }
        if self.certificates.is_empty() {
            return Ok(());
        }
        let heading = [
            "NO",
            "KEY",
            "KEY ID",
            "TYPE",
            "STATE",
            "UNTIL",
            "PRINCIPALS",
        ];
        let mut table = Table::new(heading);
        for kept in &self.certificates {
            let contents = &kept.contents;
            table.toned_row([
                (&kept.number.to_string(), Tone::Plain),
                (&kept.key, Tone::Plain),
                (&contents.key_id, Tone::Plain),
                (contents.kind, Tone::Plain),
                (contents.state.word(), contents.state.tone()),
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
        for kept in &self.certificates {
            writeln!(f, "{}", kept.title())?;
            for line in kept.to_string().lines() {
                writeln!(f, "  {line}")?;
            }
        }
        Ok(())
    }
}
