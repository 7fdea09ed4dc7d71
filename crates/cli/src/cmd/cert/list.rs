//! `tpmssh cert list`: the certificates that are kept.

use std::fmt;

use serde::Serialize;

use crate::app::App;
use crate::certificates::{self, Kept};
use crate::show::output::tell;

/// List the certificates with what they say and whether they are valid now
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

pub(crate) fn run(app: &App, _args: &Args) -> anyhow::Result<()> {
    let report = Report(certificates::all(app)?);
    if report.0.is_empty() {
        tell("tpmssh: no certificates");
    }
    app.out.print(&report)
}

#[derive(Debug, Serialize)]
#[serde(transparent)]
struct Report(Vec<Kept>);

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for kept in &self.0 {
            writeln!(f, "{}", kept.title())?;
            for line in kept.to_string().lines() {
                writeln!(f, "  {line}")?;
            }
        }
        Ok(())
    }
}
