//! Locking.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// A lock, whatever a panic in another thread did: what is locked here is whole at any time.
pub(crate) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
