//! `tpmssh agent uninstall`: take back what `agent install` did.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use token_store::config_dir;

use crate::cmd::agent::session::{self, IN_PROFILE, SERVICE_UNIT, SOCKET_UNIT};
use crate::fail::error::Error;
use crate::files::units::{self, remove_empty_dirs, remove_file};
use crate::show::output::{self, tell};

/// Take back what tpmssh agent install did, for this user
///
/// Stops the agent, and removes the units and files that this or an older version wrote, and its line in
/// ~/.profile. Files that somebody else wrote stay. Keys, tokens and the log stay, too.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  tpmssh agent uninstall
  tpmssh agent uninstall --dry-run     show what would be removed")]
pub(crate) struct Args {
    /// Show what would be removed, and change nothing
    #[arg(long)]
    dry_run: bool,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let below = config_dir()?;
    let link = session::enabling_link()?;
    let is_enabled = fs::symlink_metadata(&link).is_ok_and(|meta| meta.is_symlink());
    let mut removed = usize::from(is_enabled);
    let stopped = match args.dry_run {
        true => Ok(()),
        false => stop(),
    };
    if is_enabled {
        output::write(&format!("rm {}\n", link.display()))?;
        if !args.dry_run {
            remove_file(&link)?;
            remove_empty_dirs(&link, &below);
        }
    }
    removed += session::files(true)?.remove(args.dry_run, &below)?;
    let profile = session::profile()?;
    if IN_PROFILE.is_in(&profile)? {
        removed += 1;
        output::write(&format!("# its line in {}\n", profile.display()))?;
        if !args.dry_run {
            IN_PROFILE.remove(&profile)?;
        }
    }
    if removed == 0 {
        tell("tpmssh: nothing of tpmssh agent install is here");
    } else if !args.dry_run {
        stopped?;
        if session::are_packaged() || is_reachable() {
            units::systemctl(&[&["--user", "daemon-reload"]])?;
        }
        tell("tpmssh: SSH_AUTH_SOCK of shells that run now stays until they end");
    }
    Ok(())
}

/// Stops socket and service, and takes SSH_AUTH_SOCK out of the user manager if it is ours. Without
/// a user manager nothing of it runs.
fn stop() -> Result<(), Error> {
    if !is_reachable() {
        return Ok(());
    }
    for unit in [SOCKET_UNIT, SERVICE_UNIT] {
        if is_loaded(unit) {
            units::systemctl(&[&["--user", "stop", unit]])?;
        }
    }
    let environment = ask(&["show-environment"]).unwrap_or_default();
    let ours = |line: &str| {
        let socket = line.strip_prefix("SSH_AUTH_SOCK=");
        socket.is_some_and(|path| Path::new(path).ends_with("tpmssh/agent.sock"))
    };
    if environment.lines().any(ours) {
        units::systemctl(&[&["--user", "unset-environment", "SSH_AUTH_SOCK"]])?;
    }
    Ok(())
}

/// Whether this user has a manager that answers.
fn is_reachable() -> bool {
    ask(&["show-environment"]).is_some()
}

fn is_loaded(unit: &str) -> bool {
    let state = ask(&["show", "--property=LoadState", unit]).unwrap_or_default();
    state.trim() == "LoadState=loaded"
}

/// What `systemctl --user` prints, if it succeeds.
fn ask(arguments: &[&str]) -> Option<String> {
    let output = Command::new("systemctl")
        .arg("--user")
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    output.status.success().then_some(text)
}
