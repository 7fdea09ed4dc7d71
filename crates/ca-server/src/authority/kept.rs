//! A cache for an answer that takes long to make and is the same for all clients. One request makes it, and the others wait only briefly.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long other requests wait for an answer, counted from when its making began. A TPM signs in about 100 ms.
const PATIENCE: Duration = Duration::from_millis(500);

/// The last answer, and a turn for the request that makes the next one.
pub(super) struct Kept<T> {
    state: Mutex<State<T>>,
    ended: Condvar,
}

struct State<T> {
    last: Option<T>,
    /// When the making of the next answer began; `None` if no request makes one.
    since: Option<Instant>,
}

impl<T: Clone> Kept<T> {
    pub(super) fn new() -> Self {
        Self {
            state: Mutex::new(State {
                last: None,
                since: None,
            }),
            ended: Condvar::new(),
        }
    }

    /// The answer that `make` makes from the last one. If another request makes one and takes long, this is the last answer if it `is_good`, or else `None`.
    pub(super) fn at_hand<E>(
        &self,
        is_good: impl Fn(&T) -> bool,
        make: impl FnOnce(Option<T>) -> Result<T, E>,
    ) -> Option<Result<T, E>> {
        let mut state = self.lock();
        if let Some(since) = state.since {
            let left = PATIENCE.saturating_sub(since.elapsed());
            let is_at_it = |state: &mut State<T>| state.since == Some(since);
            let waited = self.ended.wait_timeout_while(state, left, is_at_it);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
            let good = state.last.as_ref().filter(|it| is_good(it)).cloned();
            if good.is_some() || state.since.is_some() {
                return good.map(Ok);
            }
        }
        Some(self.make(state, make))
    }

    /// The answer that `make` makes from the last one. It waits until no other request makes one.
    pub(super) fn newest<E>(&self, make: impl FnOnce(Option<T>) -> Result<T, E>) -> Result<T, E> {
        let is_at_it = |state: &mut State<T>| state.since.is_some();
        let state = self.ended.wait_while(self.lock(), is_at_it);
        self.make(state.unwrap_or_else(PoisonError::into_inner), make)
    }

    fn make<E>(
        &self,
        mut state: MutexGuard<'_, State<T>>,
        make: impl FnOnce(Option<T>) -> Result<T, E>,
    ) -> Result<T, E> {
        state.since = Some(Instant::now());
        let last = state.last.clone();
        drop(state);
        // Ends the turn also if `make` panics.
        let _turn = Turn(self);
        let made = make(last)?;
        self.lock().last = Some(made.clone());
        Ok(made)
    }
}

impl<T> Kept<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Turn<'a, T>(&'a Kept<T>);

impl<T> Drop for Turn<'_, T> {
    fn drop(&mut self) {
        self.0.lock().since = None;
        self.0.ended.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;
    use std::thread::scope;

    use super::*;

    #[test]
    fn other_requests_get_the_last_answer_and_do_not_wait() {
        let kept = Kept::new();
        let ok = |it: u32| Some(Ok::<_, ()>(it));
        assert_eq!(kept.at_hand(|_| true, |_| Ok::<_, ()>(1)), ok(1));
        let (begun, has_begun) = channel();
        let (end, ends) = channel();
        scope(|scope| {
            let kept = &kept;
            let slow = scope.spawn(move || {
                kept.newest(|last| {
                    begun.send(()).unwrap();
                    let _: () = ends.recv_timeout(Duration::from_secs(60)).unwrap();
                    Ok::<_, ()>(last.unwrap() + 1)
                })
            });
            has_begun.recv().unwrap();
            let not_again = |_| unreachable!("another request makes it");
            assert_eq!(kept.at_hand(|_| true, not_again), ok(1));
            assert_eq!(kept.at_hand::<()>(|_| false, not_again), None);
            let next = scope.spawn(move || kept.newest(|last| Ok::<_, ()>(last.unwrap() + 10)));
            end.send(()).unwrap();
            assert_eq!(slow.join().unwrap(), Ok(2));
            assert_eq!(next.join().unwrap(), Ok(12));
        });
    }

    #[test]
    fn after_a_failure_or_panic_the_last_answer_stays_and_the_next_try_succeeds() {
        let kept = Kept::new();
        assert_eq!(kept.newest(|_| Ok::<_, ()>(1)), Ok(1));
        assert_eq!(kept.newest(|_| Err::<i32, _>(())), Err(()));
        let panics = || kept.newest(|_| -> Result<i32, ()> { panic!("a mistake") });
        let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(panics));
        assert!(panicked.is_err());
        let next = kept.at_hand(|_| false, |last| Ok::<_, ()>(last.unwrap() + 1));
        assert_eq!(next, Some(Ok(2)));
    }
}
