//! Waiting with a deadline: a test that waits for something that never happens fails, and does not hang.

use std::{
    process::{Child, ExitStatus},
    thread,
    time::{Duration, Instant},
};

/// How long an operation of milliseconds may take on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(1);

/// Waits until `holds` returns true, and asks it each millisecond.
///
/// # Panics
///
/// If it does not within [`PATIENCE`].
#[track_caller]
pub fn eventually(mut holds: impl FnMut() -> bool) {
    let held = poll(|| holds().then_some(()));
    assert!(held.is_some(), "not within {} seconds", PATIENCE.as_secs());
}

/// Waits for the end of a program; returns its exit status.
///
/// # Panics
///
/// If it does not end within [`PATIENCE`]. Then it is killed first.
#[track_caller]
pub fn end_of(child: &mut Child) -> ExitStatus {
    if let Some(status) = poll(|| child.try_wait().expect("a child of this process")) {
        return status;
    }
    let _ = child.kill();
    let _ = child.wait();
    panic!(
        "the program has not ended after {} seconds",
        PATIENCE.as_secs()
    );
}

/// Calls `ready` each millisecond until it returns a value; `None` if it does not within [`PATIENCE`].
pub(crate) fn poll<T>(mut ready: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ready() {
            return Some(answer);
        }
        if Instant::now() >= deadline {
            return None;
        }
        thread::sleep(PAUSE);
    }
}
