//! Waiting with a deadline: a test that waits for something that never happens fails, and does not hang.

use std::{
    process::{Child, ExitStatus},
    thread,
    time::{Duration, Instant},
};

/// How long an operation of milliseconds may take on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// The pause between two checks.
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
    end_within(child, PATIENCE)
}

#[track_caller]
fn end_within(child: &mut Child, patience: Duration) -> ExitStatus {
    let ended = poll_for(patience, || {
        child.try_wait().expect("a child of this process")
    });
    if let Some(status) = ended {
        return status;
    }
    let _ = child.kill();
    let _ = child.wait();
    panic!(
        "the program has not ended after {} seconds",
        patience.as_secs()
    );
}

/// Calls `ready` each millisecond until it returns a value; `None` if it does not within [`PATIENCE`].
pub(crate) fn poll<T>(ready: impl FnMut() -> Option<T>) -> Option<T> {
    poll_for(PATIENCE, ready)
}

fn poll_for<T>(patience: Duration, mut ready: impl FnMut() -> Option<T>) -> Option<T> {
    let deadline = Instant::now() + patience;
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

#[cfg(test)]
mod tests {
    use std::{
        panic::{AssertUnwindSafe, catch_unwind},
        process::Command,
    };

    use super::*;

    fn sleep(time: &str) -> Child {
        let mut sleep = Command::new("sleep");
        sleep.arg(time).spawn().expect("sleep runs")
    }

    #[test]
    fn a_program_that_does_not_end_is_killed_and_the_test_fails() {
        let mut child = sleep("600");
        let waits = AssertUnwindSafe(|| end_within(&mut child, Duration::from_millis(20)));
        assert!(catch_unwind(waits).is_err());
        let status = child.try_wait().expect("a child").expect("it has ended");
        assert!(!status.success());
    }

    #[test]
    fn what_comes_is_waited_for_and_what_does_not_come_is_not() {
        assert!(end_of(&mut sleep("0.01")).success());
        let mut looks = 0;
        eventually(|| {
            looks += 1;
            looks == 3
        });
        assert_eq!(poll_for(Duration::from_millis(5), || None::<()>), None);
    }
}
