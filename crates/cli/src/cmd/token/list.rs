//! `tpmssh token list`: the tokens of this user.

use std::fmt;

use serde::Serialize;

use crate::app::App;
use crate::show::output::tell;
use crate::show::style::Tone;
use crate::show::table::Table;
use crate::show::token::Summary;

/// List the tokens, without asking the TPM
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(app: &App, _args: &Args) -> anyhow::Result<()> {
    let report = Report(app.tokens()?.iter().map(Summary::from).collect());
    if report.0.is_empty() {
        tell("tpmssh: no tokens");
    }
    app.out.print(&report)
}

#[derive(Debug, Serialize)]
#[serde(transparent)]
struct Report(Vec<Summary>);

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return Ok(());
        }
        let mut table = Table::new(["LABEL", "SERIAL", "PIN WALL", "PIN"]);
        for token in &self.0 {
            table.toned_row([
                (&token.label, Tone::Plain),
                (&token.serial, Tone::Plain),
                (token.pin_wall, Tone::Plain),
                (&token.pin(), token.tone()),
            ]);
        }
        table.fmt(f)
    }
}
