//! Ctrl-C: ends the running command, so that the demo cleans up.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use signal_hook::{
    consts::{SIGHUP, SIGINT, SIGTERM},
    iterator::Signals,
};

static INTERRUPTED: AtomicBool = AtomicBool::new(false);
/// The running command. As long as it is in here, it has not been waited for.
static RUNNING: Mutex<Option<Pid>> = Mutex::new(None);

/// Handles SIGINT, SIGHUP and SIGTERM.
///
/// # Errors
///
/// If the system refuses.
pub(super) fn watch() -> Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP]).context("cannot watch for Ctrl-C")?;
    thread::spawn(move || {
        for _ in signals.forever() {
            INTERRUPTED.store(true, Ordering::SeqCst);
            if let Some(pid) = *RUNNING.lock().unwrap_or_else(PoisonError::into_inner) {
                // It fails only if the command ends at this moment.
                let _ = kill_process(pid, Signal::TERM);
            }
        }
    });
    Ok(())
}

/// Notes the command to end on Ctrl-C; `None` before it is waited for.
pub(super) fn running(id: Option<u32>) {
    let pid = id
        .and_then(|id| i32::try_from(id).ok())
        .and_then(Pid::from_raw);
    *RUNNING.lock().unwrap_or_else(PoisonError::into_inner) = pid;
}

/// # Errors
///
/// If there was a Ctrl-C.
pub(super) fn check() -> Result<()> {
    if INTERRUPTED.load(Ordering::SeqCst) {
        bail!("interrupted");
    }
    Ok(())
}
