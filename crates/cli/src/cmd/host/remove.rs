//! `tpmssh host remove`: undo `host setup`.

use std::fs;
use std::path::{Path, PathBuf};

use ssh_format::{AnyKey, Certificate, MAX_LINE_LEN};
use token_store::{Store, StoreDir};

use super::host_units::{self, MARK, SERVICE_UNIT, SOCKET_UNIT, TIMER_UNIT};
use super::place::{KINDS, MachineArgs};
use super::{renew, server, server_keys};
use crate::app::App;
use crate::fail::error::{Error, HostError};
use crate::files::changes::Changes;
use crate::files::input_file;
use crate::files::units::{OwnFiles, remove_empty_dirs, remove_file, systemctl};

/// Undo tpmssh host setup: sshd uses its keys in files again
///
/// Removes what that command wrote: takes the drop-in away, has sshd read its configuration again, stops the service and removes its
/// units, and the public keys and certificates beside sshd's own. Files that somebody else wrote stay.
/// The keys stay in the TPM and the store, so that tpmssh host setup brings the same ones back; --enroll gets certificates again.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  sudo tpmssh host remove --dry-run     show what would be removed
  sudo tpmssh host remove")]
pub(crate) struct Args {
    #[command(flatten)]
    machine: MachineArgs,

    /// Do it even if sshd has no host key in a file
    #[arg(long)]
    force: bool,

    /// Show what would be removed, and change nothing
    #[arg(long)]
    dry_run: bool,
}

pub(super) fn run(app: &App, args: &Args) -> anyhow::Result<()> {
    let mut changes = Changes::new(app.out, args.dry_run);
    let machine = &args.machine;
    machine.check_user()?;
    let mut drop_in = OwnFiles::new(MARK);
    drop_in.add(machine.drop_in(), "");
    let has_other = || {
        server_keys::in_use(machine)
            .iter()
            .any(|key| key.path.exists())
    };
    if !args.force && drop_in.are_ours()? && !has_other() {
        return Err(HostError::NoOtherHostKey.into());
    }
    let below = &machine.etc;
    drop_in.remove(&mut changes, below)?;
    if !changes.is_empty() && !args.dry_run {
        server::reload(&mut changes)?;
    }
    let units = host_units::any(machine);
    let wants = |target: &str, unit| machine.etc.join("systemd/system").join(target).join(unit);
    let mut links = vec![
        wants("sockets.target.wants", SOCKET_UNIT),
        wants("timers.target.wants", TIMER_UNIT),
    ];
    links.retain(|link| fs::symlink_metadata(link).is_ok_and(|meta| meta.is_symlink()));
    let is_enabled = !links.is_empty();
    let has_timer = links.iter().any(|link| link.ends_with(TIMER_UNIT));
    let stopped = match args.dry_run || (!is_enabled && !units.are_ours()?) {
        true => Ok(()),
        false => stop(&mut changes, has_timer),
    };
    for link in links {
        changes.remove(&link)?;
        if !args.dry_run {
            remove_file(&link)?;
            remove_empty_dirs(&link, below);
        }
    }
    units.remove(&mut changes, below)?;
    let authority = [machine.user_ca(), machine.revoked()];
    let authority = authority.into_iter().filter(|path| path.is_file());
    for path in public_files(machine).into_iter().chain(authority) {
        changes.remove(&path)?;
        if !args.dry_run {
            remove_file(&path)?;
        }
    }
    if changes.is_empty() {
        changes.tell("tpmssh: nothing of tpmssh host setup is here");
        return changes.end(app.out, "nothing was removed");
    }
    if !args.dry_run {
        renew::end(app, machine)?;
    }
    stopped?;
    if !args.dry_run && is_running() {
        systemctl(&mut changes, &[&["daemon-reload"]])?;
    }
    tell_of_keys(&changes, &machine.store);
    changes.end(app.out, "sshd uses its keys in files again")
}

/// The public keys and certificates of the TPM's host keys. Leaves out files that are not keys, and
/// those with a private half beside them, because tpmssh did not write them.
fn public_files(machine: &MachineArgs) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for kind in KINDS {
        let public = machine.public(kind);
        if public.with_extension("").exists() {
            continue;
        }
        let read = |path: &Path| {
            let is_file = fs::symlink_metadata(path).is_ok_and(|meta| meta.is_file());
            let text = is_file.then(|| input_file::read_text(path, MAX_LINE_LEN + 2));
            text?.ok()
        };
        if read(&public).is_some_and(|text| AnyKey::from_line(text.trim_end()).is_ok()) {
            found.push(public);
        }
        let certificate = machine.certificate(kind);
        if read(&certificate).is_some_and(|text| Certificate::from_line(&text).is_ok()) {
            found.push(certificate);
        }
    }
    found
}

/// Stops the timer, if it was started, the socket and the service. Without systemd none of them runs.
fn stop(changes: &mut Changes, has_timer: bool) -> Result<(), Error> {
    let units: &[&str] = &["stop", TIMER_UNIT, SOCKET_UNIT, SERVICE_UNIT];
    let units = match has_timer {
        true => units,
        false => &["stop", SOCKET_UNIT, SERVICE_UNIT],
    };
    match is_running() {
        true => systemctl(changes, &[units]),
        false => Ok(()),
    }
}

/// Whether systemd answers.
fn is_running() -> bool {
    server::asks(&["show-environment"])
}

/// Says that the keys are still there, and how to be rid of them.
fn tell_of_keys(changes: &Changes, store: &Path) {
    let is_there = StoreDir::at(store)
        .and_then(|dir| Store::open(&dir))
        .is_ok();
    if is_there {
        let store = store.display();
        changes.tell(&format!(
            "tpmssh: the host keys stay in the TPM and in {store}; to delete them for ever: \
             sudo TPMSSH_STORE={store} tpmssh token delete --token host"
        ));
    }
}
