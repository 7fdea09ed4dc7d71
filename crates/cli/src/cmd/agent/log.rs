//! `tpmssh agent log`: what keys were used for.

use std::fmt;

use agent::audit::{self, Record};
use anyhow::Context;
use serde::Serialize;

use crate::app::{App, agent_log};
use crate::show::output::escape;

/// Show what keys were used for: when, which key, for whom and with what result
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Show the last COUNT entries only
    #[arg(long, short = 'n', value_name = "COUNT")]
    last: Option<usize>,
}

pub(crate) fn run(app: &App, args: &Args) -> anyhow::Result<()> {
    let path = agent_log()?;
    let mut records =
        audit::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
    if let Some(last) = args.last {
        records.drain(..records.len().saturating_sub(last));
    }
    app.out.print(&Report(records))
}

#[derive(Debug, Serialize)]
#[serde(transparent)]
struct Report(Vec<Record>);

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for record in &self.0 {
            let mut line = format!("{}  {}", record.date(), record.event);
            if let Some(label) = &record.label {
                line += &format!(" \"{label}\"");
            }
            for detail in [&record.key, &record.purpose].into_iter().flatten() {
                line += &format!(" {detail}");
            }
            line += &format!(": {}", record.result);
            if !record.programs.is_empty() {
                line += &format!("; by {}", record.programs.join(" < "));
            }
            if let Some(pid) = record.pid {
                line += &format!(" (process {pid})");
            }
            writeln!(f, "{}", escape(&line))?;
        }
        Ok(())
    }
}
