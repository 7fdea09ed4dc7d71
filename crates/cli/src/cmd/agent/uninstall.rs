//! `tpmssh agent uninstall`: undo `agent install`.

use std::fs;
use std::path::Path;

use token_store::config_dir;

use crate::app::App;
use crate::cmd::agent::session::{
    self, IN_PROFILE, SERVICE_UNIT, SOCKET_UNIT, ask_manager, manager_answers,
};
use crate::fail::error::Error;
use crate::files::changes::Changes;
use crate::files::units::{self, remove_empty_dirs, remove_file};

/// Undo tpmssh agent install, for this user
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

pub(crate) fn run(app: &App, args: &Args) -> anyhow::Result<()> {
    let mut changes = Changes::new(app.out, args.dry_run);
    let below = config_dir()?;
    let link = session::enabling_link()?;
    let is_enabled = fs::symlink_metadata(&link).is_ok_and(|meta| meta.is_symlink());
    let stopped = match args.dry_run {
        true => Ok(()),
        false => stop(&mut changes),
    };
    if is_enabled {
        changes.remove(&link)?;
        if !args.dry_run {
            remove_file(&link)?;
            remove_empty_dirs(&link, &below);
        }
    }
    session::files(true)?.remove(&mut changes, &below)?;
    let profile = session::profile()?;
    if IN_PROFILE.is_in(&profile)? {
        changes.clean(&profile)?;
        if !args.dry_run {
            IN_PROFILE.remove(&profile)?;
        }
    }
    if changes.is_empty() {
        changes.tell("tpmssh: nothing of tpmssh agent install is here");
    } else if !args.dry_run {
        stopped?;
        if session::are_packaged() || manager_answers() {
            units::systemctl(&mut changes, &[&["--user", "daemon-reload"]])?;
        }
        changes.tell("tpmssh: SSH_AUTH_SOCK of shells that run now stays until they end");
    }
    changes.end(app.out, "the agent is uninstalled")
}

/// Stops socket and service, and removes SSH_AUTH_SOCK from the user manager if it is ours. Without a
/// user manager none of them runs.
fn stop(changes: &mut Changes) -> Result<(), Error> {
    if !manager_answers() {
        return Ok(());
    }
    for unit in [SOCKET_UNIT, SERVICE_UNIT] {
        if is_loaded(unit) {
            units::systemctl(changes, &[&["--user", "stop", unit]])?;
        }
    }
    let environment = ask_manager(&["show-environment"]).unwrap_or_default();
    let ours = |line: &str| {
        let socket = line.strip_prefix("SSH_AUTH_SOCK=");
        socket.is_some_and(|path| Path::new(path).ends_with("tpmssh/agent.sock"))
    };
    if environment.lines().any(ours) {
        units::systemctl(
            changes,
            &[&["--user", "unset-environment", "SSH_AUTH_SOCK"]],
        )?;
    }
    Ok(())
}

fn is_loaded(unit: &str) -> bool {
    let state = ask_manager(&["show", "--property=LoadState", unit]).unwrap_or_default();
    state.trim() == "LoadState=loaded"
}
