//! Something that takes a while, and shows that it has not stopped.

use std::io::{self, IsTerminal, Write};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use crate::machine::interrupt;
use crate::show::output::tell;

/// Runs `work` and tells on stderr what it is.
///
/// On a terminal the line counts the seconds and vanishes at the end; elsewhere
/// it is one plain line. If a signal ends the program meanwhile, the terminal
/// is left with a clean line that says so.
pub(crate) fn while_running<T>(what: &str, work: impl FnOnce() -> T) -> T {
    if !io::stderr().is_terminal() {
        tell(&format!("tpmssh: {what}; this can take minutes"));
        return work();
    }
    let guard = interrupt::guard(|| clear("tpmssh: interrupted; no key was made\n"));
    let result = thread::scope(|scope| {
        let (done, is_done) = mpsc::channel::<()>();
        scope.spawn(move || count(what, &is_done));
        let result = work();
        drop(done);
        result
    });
    drop(guard);
    clear("");
    result
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
