//! A lock that gives the chip to one thread of this process at a time.

use std::{
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
    thread::{self, ThreadId},
    time::Duration,
};

use crate::{Error, Result};

/// A lock whose waiters may extend their deadline, and that knows which thread holds it.
#[derive(Default)]
pub(crate) struct Turn {
    holder: Mutex<Option<ThreadId>>,
    free: Condvar,
}

impl Turn {
    /// Takes the turn.
    ///
    /// `left` gives the time to wait. When that time is over, `left` is called again, and waiting
    /// goes on until it returns an error.
    ///
    /// # Errors
    ///
    /// [`Error::AlreadyBegun`] if this thread has the turn already; the error that `left` returns.
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

    /// Takes the turn if it is free.
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

    use testing::assert_matches;

    use super::*;

    const SHORT: Duration = Duration::from_millis(50);

    #[test]
    fn a_second_turn_of_a_thread_is_an_error_and_no_hang() {
        let turn = Turn::default();
        turn.take(|| Ok(SHORT)).unwrap();
        assert_matches!(turn.take(|| Ok(SHORT)), Err(Error::AlreadyBegun));
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
            assert_matches!(late.join().unwrap(), Err(Error::Busy));
            let waits = scope.spawn(|| turn.take(|| Ok(Duration::from_secs(60))));
            turn.give_back();
            assert!(waits.join().unwrap().is_ok());
        });
    }
}
