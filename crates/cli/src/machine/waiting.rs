//! A line for a person who waits for the TPM, which may be busy for half a minute.

use std::io::{self, IsTerminal};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use tpm_core::{Silence, Tpm};

use crate::machine::threads;
use crate::show::{output, progress};

/// How long the TPM may take before the line is shown.
const PATIENCE: Duration = Duration::from_secs(2);

/// The pause between two checks of the time.
const PACE: Duration = Duration::from_millis(100);

/// Whether the line was shown. A command may connect to the TPM several times, and shows it once.
static SAID: AtomicBool = AtomicBool::new(false);

/// Has a thread say once on the terminal that the TPM is waited for, as soon as it lets this
/// process wait for long. Nothing is said if stderr is no terminal.
pub(crate) fn tell_of(tpm: &Tpm) {
    if !io::stderr().is_terminal() {
        return;
    }
    let silence = tpm.silence();
    // Without a thread the line is not shown; nothing else depends on it.
    let _ = threads::spawn("waiting", move || watch(&silence));
}

fn watch(silence: &Silence) {
    loop {
        thread::sleep(PACE);
        let lasts = silence.lasts().unwrap_or_default();
        if lasts >= PATIENCE && !progress::is_shown() {
            if !SAID.swap(true, Ordering::Relaxed) {
                output::tell("tpmssh: waiting for the TPM (Ctrl-C stops it)");
            }
            return;
        }
    }
}
