//! `tpmssh agent log`: the record of each use of a key.

use std::fmt;
use std::thread;
use std::time::Duration;

use agent::audit::{Follower, Record};
use anyhow::Context;
use serde::Serialize;
use tpm_core::Origin;

use crate::app::{App, agent_log};
use crate::machine::known_hosts::KnownHosts;
use crate::show::date;
use crate::show::output::{self, escape, tell};
use crate::show::time;

/// Show what keys were used for
///
/// Each line says when, which key, by which program, for which host and with what result.
///
/// Times that are shown are UTC; a TIME without Z at its end is local. Hosts have the names that ~/.ssh/known_hosts and /etc/ssh/ssh_known_hosts give their keys.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Show the last COUNT entries only
    #[arg(long, short = 'n', value_name = "COUNT")]
    last: Option<usize>,

    /// Show entries from TIME on: 90m, 1h30m or 1w ago, or 202611281830 (local), 2026-11-28T18:30:00Z (UTC)
    #[arg(long, value_name = "TIME", value_parser = time::past, allow_hyphen_values = true)]
    since: Option<time::Past>,

    /// Go on with new entries until Ctrl-C; with --json, one object a line
    #[arg(long, short)]
    follow: bool,
}

/// How often the file is looked at.
const PAUSE: Duration = Duration::from_millis(200);

pub(crate) fn run(app: &App, args: &Args) -> anyhow::Result<()> {
    let path = agent_log()?;
    let failed = || format!("cannot read {}", path.display());
    let mut follower = Follower::new(&path);
    let mut records = follower.all().with_context(failed)?;
    if records.is_empty() {
        tell(&match app.config.agent.log {
            Some(false) => "tpmssh: no entries: the configuration file has log = false".to_owned(),
            _ => format!(
                "tpmssh: no entries yet in {}: the agent writes one at each use of a key",
                path.display()
            ),
        });
    }
    let has_entries = !records.is_empty();
    if let Some(since) = &args.since {
        let since = since.at(date::now());
        records.retain(|record| record.time >= since);
        if has_entries && records.is_empty() {
            tell("tpmssh: no entries since then");
        }
    }
    if let Some(last) = args.last {
        records.drain(..records.len().saturating_sub(last));
    }
    let hosts = KnownHosts::read();
    if !args.follow {
        return app.out.print(&Report::new(records, &hosts));
    }
    loop {
        for entry in Report::new(records, &hosts).0 {
            output::write(&match app.out.is_json() {
                true => format!("{}\n", serde_json::to_string(&entry)?),
                false => entry.to_string(),
            })?;
        }
        thread::sleep(PAUSE);
        records = follower.more().with_context(failed)?;
    }
}

#[derive(Debug, Serialize)]
#[serde(transparent)]
struct Report(Vec<Entry>);

/// A record, with the names of the host.
#[derive(Debug, Serialize)]
struct Entry {
    #[serde(flatten)]
    record: Record,
    /// The names of the host, if it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    host: Option<String>,
}

impl Report {
    fn new(records: Vec<Record>, hosts: &KnownHosts) -> Self {
        let entry = |record: Record| Entry {
            host: record
                .purpose
                .as_deref()
                .and_then(fingerprint)
                .and_then(|host| hosts.name(host)),
            record,
        };
        Self(records.into_iter().map(entry).collect())
    }
}

/// The fingerprint of the host in a purpose, which the agent puts at its end.
fn fingerprint(purpose: &str) -> Option<&str> {
    let (_, host) = purpose.rsplit_once(" at the host ")?;
    host.starts_with("SHA256:").then_some(host)
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|entry| entry.fmt(f))
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let record = &self.record;
        let mut line = format!("{}  {}", record.date(), record.event);
        if let Some(label) = &record.label {
            line += &format!(" \"{label}\"");
        }
        if record.origin.as_deref() == Some(Origin::Outside.name()) {
            line += " (imported)";
        }
        if let Some(token) = &record.token {
            line += &format!(" of token \"{token}\"");
        }
        if let Some(key) = &record.key {
            line += &format!(" {key}");
        }
        if let Some(purpose) = &record.purpose {
            line += &format!(" {purpose}");
        }
        if let Some(host) = &self.host {
            line += &format!(" ({host})");
        }
        line += &format!(": {}", record.result);
        if !record.programs.is_empty() {
            line += &format!("; by {}", record.programs.join(" < "));
        }
        if let Some(pid) = record.pid {
            line += &format!(" (process {pid})");
        }
        writeln!(f, "{}", escape(&line))
    }
}
