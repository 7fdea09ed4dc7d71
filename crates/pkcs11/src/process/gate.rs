//! The gate that threads go through to use the module, and that forks close for a moment.

use std::{
    cell::Cell,
    sync::{
        Mutex, MutexGuard, PoisonError, TryLockError,
        atomic::{AtomicU32, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

/// How long a fork waits for a thread that is inside.
///
/// A thread that stays inside longer waits for a chip that hangs. The fork then goes on, and the
/// child may inherit a locked SQLite mutex.
const PATIENCE: Duration = Duration::from_secs(1);
/// The time that a waiting thread sleeps between two checks.
const PAUSE: Duration = Duration::from_micros(200);

/// A gate for one thread at a time.
#[derive(Debug)]
pub(crate) struct Gate {
    inside: Mutex<()>,
    /// The number of waiting forks, which go first. Without it, busy threads could keep a fork out
    /// for as long as they are busy.
    forks: AtomicU32,
}

thread_local! {
    /// The lock that this thread holds while it forks.
    static HELD: Cell<Option<MutexGuard<'static, ()>>> = const { Cell::new(None) };
}

impl Gate {
    pub(crate) const fn new() -> Self {
        Self {
            inside: Mutex::new(()),
            forks: AtomicU32::new(0),
        }
    }

    /// Goes through; others wait until the guard is dropped.
    pub(crate) fn enter(&self) -> MutexGuard<'_, ()> {
        while self.forks.load(Ordering::Acquire) > 0 {
            thread::sleep(PAUSE);
        }
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Before this thread forks: waits for the thread inside, and keeps all threads out until
    /// [`Gate::open`].
    pub(crate) fn close(&'static self) {
        self.forks.fetch_add(1, Ordering::AcqRel);
        let end = Instant::now() + PATIENCE;
        let held = loop {
            match self.inside.try_lock() {
                Ok(held) => break Some(held),
                Err(TryLockError::Poisoned(poisoned)) => break Some(poisoned.into_inner()),
                Err(TryLockError::WouldBlock) if Instant::now() >= end => break None,
                Err(TryLockError::WouldBlock) => thread::sleep(PAUSE),
            }
        };
        self.forks.fetch_sub(1, Ordering::AcqRel);
        // A thread that is about to end has lost its thread-local values. Then nothing is held.
        let _ = HELD.try_with(|cell| cell.set(held));
    }

    /// After the fork, in the parent and in the child: opens the gate that this thread has closed.
    pub(crate) fn open() {
        let _ = HELD.try_with(Cell::take);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn a_fork_goes_before_threads_that_are_always_inside() {
        static GATE: Gate = Gate::new();
        let (stop, stopped) = mpsc::channel::<()>();
        let busy = thread::spawn(move || {
            while stopped.try_recv() == Err(mpsc::TryRecvError::Empty) {
                let _inside = GATE.enter();
                thread::sleep(Duration::from_millis(1));
            }
        });
        for _ in 0..50 {
            GATE.close();
            assert!(HELD.take().is_some(), "it waited for nobody");
            Gate::open();
        }
        drop(stop);
        busy.join().expect("it ends well");
    }

    #[test]
    fn a_fork_does_not_wait_for_ever_and_lets_others_in_afterwards() {
        static GATE: Gate = Gate::new();
        let inside = GATE.enter();
        thread::scope(|scope| {
            scope.spawn(|| {
                GATE.close();
                assert!(HELD.take().is_none(), "somebody is inside");
            });
        });
        drop(inside);
        drop(GATE.enter());
    }
}
