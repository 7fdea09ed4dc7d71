//! Progress of work that takes a while.

use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::termios::tcgetwinsize;
use tpm_core::Tpm;

use crate::machine::interrupt;
use crate::show::output::tell;
use crate::show::style;

/// Runs `work` and prints `what` on stderr.
///
/// On a terminal the line counts the seconds and vanishes at the end; elsewhere
/// it is one plain line. A signal ends the program at once if a resource manager cleans up at
/// `tpm`. Otherwise it ends after `work`, whose result is dropped and so undone; a second signal
/// does not wait.
pub(crate) fn while_running<T>(tpm: &Tpm, what: &str, work: impl FnOnce() -> T) -> T {
    let shown = style::stderr_is_redrawn();
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

/// Whether a line that counts seconds is shown now.
pub(crate) fn is_shown() -> bool {
    SHOWN.load(Ordering::Relaxed)
}

static SHOWN: AtomicBool = AtomicBool::new(false);

fn counted<T>(what: &str, work: impl FnOnce() -> T) -> T {
    SHOWN.store(true, Ordering::Relaxed);
    let result = thread::scope(|scope| {
        let (done, is_done) = mpsc::channel::<()>();
        scope.spawn(move || count(what, &is_done));
        let result = work();
        drop(done);
        result
    });
    clear("");
    SHOWN.store(false, Ordering::Relaxed);
    result
}

/// A line of its own, whatever is on the terminal's last one.
fn line(text: &str) {
    let before = if style::stderr_is_redrawn() {
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
        let text = format!("tpmssh: {what} … {seconds} s (Ctrl-C stops it)");
        let mut stderr = io::stderr().lock();
        let _ = write!(stderr, "\r{}", fitting(&text, columns()));
        drop(stderr);
        let next = Duration::from_secs(seconds + 1).saturating_sub(start.elapsed());
        match is_done.recv_timeout(next) {
            Err(RecvTimeoutError::Timeout) => {}
            _ => return,
        }
    }
}

/// How many columns the terminal has; 0 if it does not say.
fn columns() -> usize {
    tcgetwinsize(io::stderr()).map_or(0, |size| size.ws_col.into())
}

/// As much of `text` as stays on one line: a full line would leave a copy above the next one.
fn fitting(text: &str, columns: usize) -> String {
    match columns {
        0 => text.to_owned(),
        columns => text.chars().take(columns - 1).collect(),
    }
}

/// Empties the line and writes `text` in its place.
fn clear(text: &str) {
    let _ = write!(io::stderr().lock(), "\r\x1b[K{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_narrow_terminal_gets_less_of_the_line() {
        let text = "the TPM makes … 3 s";
        assert_eq!(fitting(text, 0), text);
        assert_eq!(fitting(text, 80), text);
        assert_eq!(fitting(text, text.chars().count() + 1), text);
        assert_eq!(fitting(text, 16), "the TPM makes …");
    }
}
