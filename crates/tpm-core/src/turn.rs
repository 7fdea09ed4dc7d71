//! Whose turn it is with the chip, among the threads of a process.

use std::{
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    thread::{self, ThreadId},
    time::Duration,
};

use crate::{Error, Result};

/// A lock that is waited for with a limit that may move, and that knows who holds it.
#[derive(Default)]
pub(crate) struct Turn {
    holder: Mutex<Option<ThreadId>>,
    free: Condvar,
}

impl Turn {
    /// Takes the turn.
    ///
    /// `left` says how long to wait on; it is asked again when that time is over.
    ///
    /// # Errors
    ///
    /// [`Error::AlreadyBegun`] if this thread has the turn, and whatever `left` returns.
    pub(crate) fn take(&self, left: impl Fn() -> Result<Duration>) -> Result<()> {
        let me = thread::current().id();
        let mut holder = self.holder();
        loop {
            match *holder {
                None => {
                    *holder = Some(me);
                    return Ok(());
                }
                Some(other) if other == me => return Err(Error::AlreadyBegun),
                Some(_) => {
                    let waited = self.free.wait_timeout(holder, left()?);
                    holder = waited.unwrap_or_else(PoisonError::into_inner).0;
                }
            }
        }
    }

    /// Takes the turn if nobody has it.
    pub(crate) fn try_take(&self) -> bool {
        let mut holder = self.holder();
        let is_free = holder.is_none();
        if is_free {
            *holder = Some(thread::current().id());
        }
        is_free
    }

    /// Gives it back.
    pub(crate) fn give_back(&self) {
        *self.holder() = None;
        self.free.notify_one();
    }

    fn holder(&self) -> MutexGuard<'_, Option<ThreadId>> {
        self.holder.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    const SHORT: Duration = Duration::from_millis(50);

    #[test]
    fn a_second_turn_of_a_thread_is_an_error_and_no_hang() {
        let turn = Turn::default();
        turn.take(|| Ok(SHORT)).unwrap();
        assert!(matches!(turn.take(|| Ok(SHORT)), Err(Error::AlreadyBegun)));
        assert!(!turn.try_take());
        turn.give_back();
        assert!(turn.try_take());
    }

    #[test]
    fn another_thread_waits_until_it_is_free_or_the_limit_is_over() {
        let turn = Turn::default();
        turn.take(|| Ok(SHORT)).unwrap();
        let end = Instant::now() + SHORT;
        let left = || match end.saturating_duration_since(Instant::now()) {
            Duration::ZERO => Err(Error::Busy),
            left => Ok(left),
        };
        thread::scope(|scope| {
            let late = scope.spawn(|| turn.take(left));
            assert!(matches!(late.join().unwrap(), Err(Error::Busy)));
            let waits = scope.spawn(|| turn.take(|| Ok(Duration::from_secs(60))));
            turn.give_back();
            assert!(waits.join().unwrap().is_ok());
        });
    }
}
