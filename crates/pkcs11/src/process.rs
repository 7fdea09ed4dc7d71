//! The module of this process, from `C_Initialize` to `C_Finalize`.
//!
//! A forked child inherits a copy of everything, also of locks that a thread was holding. It must
//! not use the parent's connection to the TPM, database or locks. So each process has a place of
//! its own, found by its process id without taking a lock. A child neither uses nor drops the
//! module of its parent.

use std::{
    process,
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
};

use crate::{
    error::{Error, Result},
    module::{Module, State},
};

pub(crate) mod gate;

use gate::Gate;

/// A process that has called `C_Initialize`, followed by its descendants that have too.
struct Place {
    /// The process id; 0 for a free place.
    pid: AtomicU32,
    /// Held only while a pointer is exchanged.
    module: Mutex<Option<Arc<Module>>>,
    /// The gate that its threads go through to use the module.
    gate: Gate,
    next: OnceLock<Box<Place>>,
}

static FIRST: Place = Place::empty();

impl Place {
    const fn empty() -> Self {
        Self {
            pid: AtomicU32::new(0),
            module: Mutex::new(None),
            gate: Gate::new(),
            next: OnceLock::new(),
        }
    }

    /// The place of the process `pid`, if it has one.
    fn of(pid: u32) -> Option<&'static Self> {
        let mut place = &FIRST;
        while place.pid.load(Ordering::Acquire) != pid {
            place = place.next.get()?;
        }
        Some(place)
    }

    /// The place of the process `pid`; takes a free one if it has none.
    fn take(pid: u32) -> &'static Self {
        let mut place = &FIRST;
        loop {
            let taken = place
                .pid
                .compare_exchange(0, pid, Ordering::AcqRel, Ordering::Acquire);
            if taken.is_ok() || taken == Err(pid) {
                return place;
            }
            place = place.next.get_or_init(|| Box::new(Self::empty()));
        }
    }

    /// Whether an ancestor of this process has used the module.
    fn is_of_child(&self) -> bool {
        !std::ptr::eq(self, &raw const FIRST)
    }

    fn module(&self) -> MutexGuard<'_, Option<Arc<Module>>> {
        self.module.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The module of this process.
///
/// # Errors
///
/// [`Error::NotInitialized`] before `C_Initialize`, after `C_Finalize` and in a forked child.
pub(crate) fn module() -> Result<Arc<Module>> {
    Place::of(process::id())
        .and_then(|place| place.module().clone())
        .ok_or(Error::NotInitialized)
}

/// Makes the module of this process.
///
/// In a child of a process that has used the module, this also opens the store. The child may have
/// become another user who cannot open it, as the workers of a server do. libp11 0.4.12 waits
/// forever if `C_OpenSession` fails in a child, and reports a failure of `C_Initialize`.
///
/// # Errors
///
/// [`Error::AlreadyInitialized`]; [`Error::StoreOfParent`].
pub(crate) fn initialize() -> Result<()> {
    let place = Place::take(process::id());
    let mut module = place.module();
    if module.is_some() {
        return Err(Error::AlreadyInitialized);
    }
    let new = Module::new(&place.gate);
    if place.is_of_child() {
        use token_store::Error as Store;
        // Other failures may end by themselves: later calls report them and can be repeated.
        if let Err(Error::Store(err @ (Store::UnsafePath { .. } | Store::Disk(_)))) =
            new.with(State::refresh)
        {
            return Err(Error::StoreOfParent(err));
        }
    }
    *module = Some(Arc::new(new));
    Ok(())
}

/// Ends the module of this process; calls that are in progress find it closed.
///
/// # Errors
///
/// [`Error::NotInitialized`].
pub(crate) fn finalize() -> Result<()> {
    let place = Place::of(process::id()).ok_or(Error::NotInitialized)?;
    let module = place.module().take().ok_or(Error::NotInitialized)?;
    module.close();
    Ok(())
}

/// Before this process forks: waits until none of its threads is in the store.
pub(crate) fn before_fork() {
    if let Some(place) = Place::of(process::id()) {
        place.gate.close();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_process_has_a_place_of_its_own() {
        // Ids that no process here has.
        let (parent, child) = (u32::MAX - 1, u32::MAX);
        assert!(Place::of(child).is_none());
        let first = Place::take(parent);
        let second = Place::take(child);
        assert!(!std::ptr::eq(first, second));
        assert!(std::ptr::eq(first, Place::take(parent)));
        assert!(std::ptr::eq(second, Place::of(child).expect("taken")));
    }

    #[test]
    fn a_lock_that_was_held_at_the_fork_does_not_stop_the_child() {
        let (parent, child) = (u32::MAX - 3, u32::MAX - 2);
        let _held = Place::take(parent).module();
        assert!(Place::of(child).is_none());
        assert!(Place::take(child).module().is_none());
    }
}
