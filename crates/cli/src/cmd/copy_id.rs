//! `tpmssh copy-id`: add a key to servers, and remove an old one.

mod remote;

use std::fmt;
use std::path::PathBuf;

use anyhow::Context;
use serde::Serialize;
use ssh_format::text::shown;
use ssh_format::{AnyKey, MAX_LINE_LEN};

use self::remote::{Login, Remote};
use crate::app::App;
use crate::ask::token_pin::read_pin;
use crate::fail::error::Error;
use crate::files::input_file;
use crate::keys::signing::{self, SigningKey};
use crate::options::UserPinArgs;
use crate::show::output::{error_line, tell};
use crate::show::path;
use crate::show::table::Table;

/// Add a key to servers, by the login that works today
///
/// ssh adds the key to ~/.ssh/authorized_keys of each HOST: by an agent, a key file or a password,
/// as it logs in now. Then tpmssh logs in with the new key. Only after that --replace takes
/// an old key off, so that nobody is shut out.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  tpmssh copy-id server1 anna@server2
  tpmssh copy-id --replace ~/.ssh/id_rsa.pub server1")]
pub(crate) struct Args {
    /// The servers, as for ssh
    #[arg(required = true, value_name = "HOST")]
    hosts: Vec<String>,

    /// The key, by label, id or fingerprint (the only key)
    #[arg(long, short, value_name = "KEY")]
    key: Option<String>,

    /// Take this public key off each server where the new key logs in
    #[arg(long, value_name = "OLD.pub")]
    replace: Option<PathBuf>,

    /// Only show what would be done; no server is contacted
    #[arg(long)]
    dry_run: bool,

    /// The port of the servers
    #[arg(short = 'p', long)]
    port: Option<u16>,

    /// An option for ssh, as in ssh_config(5); may be given several times
    #[arg(short = 'o', long = "option", value_name = "OPTION")]
    options: Vec<String>,

    /// ssh's configuration file
    #[arg(short = 'F', long, value_name = "FILE")]
    config: Option<PathBuf>,

    /// The key file that logs in today
    #[arg(short = 'i', long, value_name = "FILE")]
    identity: Option<PathBuf>,

    #[command(flatten)]
    pin: UserPinArgs,
}

pub(crate) fn run(app: &App, args: &Args) -> anyhow::Result<()> {
    for host in &args.hosts {
        if host.starts_with('-') || host.is_empty() {
            return Err(Error::Usage(format!("\"{}\" is no host", shown(host))).into());
        }
    }
    let store = app.store()?;
    let key = signing::login_key(app, &store, args.key.as_deref())?;
    let old = args.replace.as_deref().map(read_public).transpose()?;
    if old.as_ref().is_some_and(|old| *old == key.public) {
        return Err(Error::Usage("the key to replace is the new key".into()).into());
    }
    if args.dry_run {
        let removed = args.replace.as_ref().map_or_else(String::new, |path| {
            format!(
                ", log in with it, then remove the key in {}",
                path.display()
            )
        });
        for host in &args.hosts {
            tell(&format!(
                "tpmssh: {host}: would add \"{}\"{removed}",
                shown(&key.label)
            ));
        }
        return Ok(());
    }
    let pin = read_pin(app, &store, &key.token, &args.pin)?;
    let login = Login::start(&app.tpm_choice()?.tcti, &key, pin.as_ref())?;
    let mut report = Report(Vec::new());
    for host in &args.hosts {
        let remote = Remote { host, args };
        let result = copy(&remote, &login, &key, old.as_ref());
        if let Err(err) = &result {
            tell(&format!("tpmssh: {host}: {}", error_line(err)));
        }
        report.0.push(Row {
            host: host.clone(),
            done: result.as_ref().copied().unwrap_or("failed"),
            failed: result.is_err(),
        });
    }
    let failed = report.0.iter().filter(|row| row.failed).count();
    app.out.print(&report)?;
    match failed {
        0 => Ok(()),
        failed => Err(Error::NotCopied {
            failed,
            hosts: args.hosts.len(),
        }
        .into()),
    }
}

/// Adds the key to one server, checks that it logs in, and takes the old one off.
fn copy(
    remote: &Remote<'_>,
    login: &Login,
    key: &SigningKey,
    old: Option<&AnyKey>,
) -> anyhow::Result<&'static str> {
    let host = remote.host;
    // First: if the key is there already, a second run needs no other login.
    let there = remote.check(login, key).is_ok();
    if !there {
        tell(&format!("tpmssh: {host}: adding the key by today's login"));
        remote.add(&key.line())?;
        remote
            .check(login, key)
            .context("the key was added and does not log in; nothing was removed")?;
    }
    let done = if there { "there" } else { "added" };
    tell(&format!("tpmssh: {host}: the key logs in"));
    let Some(old) = old else {
        return Ok(done);
    };
    let lines = remote
        .remove(login, old)
        .context("the new key logs in; the old one could not be removed")?;
    if lines == 0 {
        tell(&format!(
            "tpmssh: {host}: the old key is not in ~/.ssh/authorized_keys; if it still logs in, it is elsewhere"
        ));
        return Ok(done);
    }
    tell(&format!("tpmssh: {host}: the old key is removed"));
    Ok("replaced")
}

fn read_public(path: &std::path::Path) -> anyhow::Result<AnyKey> {
    let text = input_file::read_text(path, MAX_LINE_LEN + 2)?;
    let (key, _) = AnyKey::from_line(text.trim_end()).with_context(|| path::name(path))?;
    Ok(key)
}

#[derive(Debug, Serialize)]
struct Row {
    host: String,
    /// `added`, `there` (it logged in before), `replaced` or `failed`.
    done: &'static str,
    #[serde(skip)]
    failed: bool,
}

#[derive(Debug, Serialize)]
#[serde(transparent)]
struct Report(Vec<Row>);

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new(["HOST", "KEY"]);
        for row in &self.0 {
            table.row([&row.host, row.done]);
        }
        table.fmt(f)
    }
}
