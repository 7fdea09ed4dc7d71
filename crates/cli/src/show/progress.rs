//! Something that takes a while, and shows that it has not stopped.

use std::io::{self, IsTerminal, Write};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use tpm_core::Tpm;

use crate::machine::interrupt;
use crate::show::output::tell;

/// Runs `work` and tells on stderr what it is.
///
/// On a terminal the line counts the seconds and vanishes at the end; elsewhere
/// it is one plain line. A signal ends the program at once where `tpm` cleans up after programs
/// that end; where nobody does, it ends after `work`, which then is undone by
/// being dropped, and a second signal does not wait.
pub(crate) fn while_running<T>(tpm: &Tpm, what: &str, work: impl FnOnce() -> T) -> T {
    let shown = io::stderr().is_terminal();
    if !shown {
        tell(&format!("tpmssh: {what}; this can take minutes"));
    }
    let interrupted = || line("interrupted; no key was made");
    let hold = (!tpm.tcti().is_managed()).then(|| {
        let stopping = || line("stopping when the TPM has finished (Ctrl-C: at once)");
        interrupt::hold(stopping, interrupted)
    });
    let guard = (shown && hold.is_none()).then(|| {
        let text = "tpmssh: interrupted; no key was made\n";
        interrupt::guard(move || clear(text))
    });
    let result = if shown { counted(what, work) } else { work() };
    drop(guard);
    if let Some(Ok(hold)) = hold {
        hold.end_if_interrupted(interrupted);
    }
    result
}

fn counted<T>(what: &str, work: impl FnOnce() -> T) -> T {
    let result = thread::scope(|scope| {
        let (done, is_done) = mpsc::channel::<()>();
        scope.spawn(move || count(what, &is_done));
        let result = work();
        drop(done);
        result
    });
    clear("");
    result
}

/// A line of its own, whatever is on the terminal's last one.
fn line(text: &str) {
    let before = if io::stderr().is_terminal() {
        "\r\x1b[K"
    } else {
        ""
    };
    let _ = writeln!(io::stderr().lock(), "{before}tpmssh: {text}");
}

/// Shows the seconds until the other end of `is_done` is dropped.
fn count(what: &str, is_done: &mpsc::Receiver<()>) {
    let start = Instant::now();
    loop {
        let seconds = start.elapsed().as_secs();
        let _ = write!(
            io::stderr().lock(),
            "\rtpmssh: {what} … {seconds} s (Ctrl-C stops it)"
        );
        let next = Duration::from_secs(seconds + 1).saturating_sub(start.elapsed());
        match is_done.recv_timeout(next) {
            Err(RecvTimeoutError::Timeout) => {}
            _ => return,
        }
    }
}

/// Empties the line and writes `text` in its place.
fn clear(text: &str) {
    let _ = write!(io::stderr().lock(), "\r\x1b[K{text}");
}
