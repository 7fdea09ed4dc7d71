//! `tpmssh agent status`: is an agent running, whose is it, and what does it hold?

use std::fmt;
use std::path::PathBuf;

use agent::audit::{self, Record};
use agent::status::{Status, TokenStatus};
use serde::Serialize;
use ssh_format::text::shown;
use ssh_format::time::in_words as date;

use crate::app::{App, agent_log};
use crate::machine::ssh_agent::{self, Found, Starter};
use crate::options::SocketArgs;
use crate::show::duration::in_words;
use crate::show::output::Facts;
use crate::show::words::count;

/// Show whether the agent runs, and what it holds
///
/// It asks the agent alone: no person, and not the TPM. The exit code is 0 if the agent of tpmssh
/// runs; 1 if none runs or another program listens at its socket; 9 if the agent there belongs to
/// another user; 10 if it runs and its socket was removed, or does not answer.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    socket: SocketArgs,
}

pub(crate) fn run(app: &App, args: &Args) -> anyhow::Result<()> {
    let socket = args.socket.path()?;
    let auth_sock = ssh_agent::auth_sock().map(|path| {
        let is_this = ssh_agent::is_same(&path, &socket);
        AuthSock {
            is_this,
            agent: (!is_this).then(|| ssh_agent::find(&path)),
            path,
        }
    });
    let agent = ssh_agent::find(&socket);
    let log = match &agent {
        Found::Tpmssh { status, .. } => status.log.clone(),
        _ => agent_log().ok(),
    };
    let report = Report {
        socket,
        agent,
        auth_sock,
        last_refusal: log.and_then(|log| {
            let records = audit::read(&log).ok()?;
            records.into_iter().rev().find(|record| !record.is_done())
        }),
    };
    app.out.print(&report)?;
    match report.agent {
        Found::Tpmssh { .. } => Ok(()),
        Found::Other { .. } => Err(agent::Error::NotOurs {
            path: report.socket,
        }
        .into()),
        Found::None { err } => Err(err.into()),
    }
}

#[derive(Debug, Serialize)]
struct Report {
    socket: PathBuf,
    agent: Found,
    /// The socket in `SSH_AUTH_SOCK`, by which ssh finds its agent.
    auth_sock: Option<AuthSock>,
    /// The last refusal in the log.
    last_refusal: Option<Record>,
}

#[derive(Debug, Serialize)]
struct AuthSock {
    path: PathBuf,
    /// Whether it is the socket of the agent in this report.
    is_this: bool,
    /// The agent at the socket, if it is another one.
    agent: Option<Found>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut facts = Facts::default();
        facts.add("agent", in_short(&self.agent));
        facts.add("socket", self.socket.display());
        facts.add("SSH_AUTH_SOCK", self.auth_sock());
        if let Found::Tpmssh { status, started_by } = &self.agent {
            describe(&mut facts, status, started_by);
        }
        if let Some(record) = &self.last_refusal {
            facts.add("refused last", refusal(record));
        }
        facts.fmt(f)
    }
}

impl Report {
    fn auth_sock(&self) -> String {
        match &self.auth_sock {
            None => "not set; in this shell: eval \"$(tpmssh agent env)\"".into(),
            Some(AuthSock { is_this: true, .. }) => "this agent".into(),
            Some(AuthSock { path, agent, .. }) => {
                let agent = agent.as_ref().map(in_short).unwrap_or_default();
                format!("not this agent but {}: {agent}", path.display())
            }
        }
    }
}

/// The program at a socket, in a few words.
fn in_short(found: &Found) -> String {
    match found {
        Found::Tpmssh { status, started_by } => {
            let by = match started_by {
                Starter::Unit(unit) => format!("started by systemd ({unit})"),
                Starter::Daemon => "started by tpmssh agent --daemon".into(),
                Starter::Hand => "started by hand".into(),
            };
            format!("tpmssh, process {}, {by}", status.pid)
        }
        Found::Other { program, pid, keys } => {
            let program = program.as_deref().unwrap_or("another program");
            let pid = pid.map_or_else(String::new, |pid| format!(", process {pid}"));
            let keys = match keys {
                Some(keys) => format!(", {}", count(*keys, "key")),
                None => ", no agent".into(),
            };
            format!("{}{pid}{keys}", shown(program))
        }
        Found::None { err } => match err {
            agent::Error::NotRunning { .. } => "not running".into(),
            err => err.to_string(),
        },
    }
}

fn describe(facts: &mut Facts, status: &Status, started_by: &Starter) {
    facts.add("version", version(status, started_by));
    facts.add("TPM", &status.tcti);
    facts.add("store", status.store.display());
    if status.locked {
        facts.add("locked", "yes, by ssh-add -x; ssh-add -X unlocks it");
    }
    if let Some(err) = &status.store_error {
        facts.add("tokens", format!("unknown: {err}"));
    }
    if let Some(name) = &status.only_token {
        facts.add("serves only", format!("token \"{}\"", shown(name)));
    }
    if status.tokens.is_empty() && !status.locked && status.store_error.is_none() {
        facts.add("tokens", "none");
    }
    for token in &status.tokens {
        facts.add("token", of_token(token));
    }
    match &status.asks_with {
        Some(program) => facts.add("asks with", program.display()),
        None => facts.add("asks with", "nothing: give the PIN with tpmssh unlock"),
    }
    for proxy in &status.proxies {
        let state = if proxy.reachable {
            "answers"
        } else {
            "does not answer"
        };
        facts.add("proxy", format!("{}, {state}", proxy.socket.display()));
    }
    match &status.log {
        Some(log) => facts.add("log", log.display()),
        None => facts.add("log", "none"),
    }
}

fn version(status: &Status, started_by: &Starter) -> String {
    let mine = env!("CARGO_PKG_VERSION");
    if !status.replaced && status.version == mine {
        return status.version.clone();
    }
    let again = match started_by {
        Starter::Unit(unit) => format!("systemctl --user restart {unit}"),
        _ => format!("kill {}, then tpmssh agent --daemon", status.pid),
    };
    let why = match status.replaced {
        true => "its program was replaced since it started".to_owned(),
        false => format!("this program is {mine}"),
    };
    format!("{}; {why}: {again}", status.version)
}

fn of_token(token: &TokenStatus) -> String {
    let mut parts = vec![count(token.keys, "key")];
    if token.authorities > 0 {
        parts.push(format!(
            "{} of authorities, not offered",
            count(token.authorities, "key")
        ));
    }
    parts.push(match (token.has_pin, token.open, token.seconds_left) {
        (false, ..) => "no PIN needed".into(),
        (true, false, _) => "PIN not given".into(),
        (true, true, None) => "PIN given".into(),
        (true, true, Some(left)) => {
            let left = in_words(u32::try_from(left).unwrap_or(u32::MAX));
            format!("PIN given, for {left} more")
        }
    });
    if token.has_pin && token.policy != "until-locked" {
        parts.push(format!("policy {}", policy(&token.policy)));
    }
    format!("\"{}\": {}", shown(&token.label), parts.join(", "))
}

/// A policy as people read it: `90s` is `90 seconds`.
fn policy(policy: &str) -> String {
    let seconds = policy.strip_suffix('s').and_then(|text| text.parse().ok());
    seconds.map_or_else(|| policy.to_owned(), in_words)
}

fn refusal(record: &Record) -> String {
    let label = record.label.as_deref().map(|label| format!(" \"{label}\""));
    format!(
        "{}, {}{}: {}",
        date(record.time),
        record.event,
        label.unwrap_or_default(),
        record.result
    )
}
