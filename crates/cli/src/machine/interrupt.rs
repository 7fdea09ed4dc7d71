//! What still has to happen when a signal such as Ctrl-C ends the program.

use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use signal_hook::iterator::Signals;
use signal_hook::low_level::emulate_default_handler;

type Cleanup = Box<dyn FnOnce() + Send>;

struct State {
    watching: bool,
    cleanup: Option<Cleanup>,
}

static STATE: Mutex<State> = Mutex::new(State {
    watching: false,
    cleanup: None,
});

/// Forgets the cleanup when dropped.
#[must_use = "the cleanup is forgotten as soon as this is dropped"]
pub(crate) struct Guard(());

/// Has `cleanup` run if a signal ends the program while the guard lives.
///
/// Afterwards the program ends by that same signal, so that a shell sees what
/// happened. There is one cleanup at a time: a second guard replaces the first.
///
/// # Errors
///
/// If signals cannot be watched; then `cleanup` would never run.
pub(crate) fn guard(cleanup: impl FnOnce() + Send + 'static) -> io::Result<Guard> {
    let mut state = lock();
    if !state.watching {
        let signals = Signals::new([SIGHUP, SIGINT, SIGQUIT, SIGTERM])?;
        thread::Builder::new()
            .name("signals".into())
            .spawn(move || watch(signals))?;
        state.watching = true;
    }
    state.cleanup = Some(Box::new(cleanup));
    Ok(Guard(()))
}

impl Drop for Guard {
    fn drop(&mut self) {
        lock().cleanup = None;
    }
}

fn watch(mut signals: Signals) {
    for signal in signals.forever() {
        let cleanup = lock().cleanup.take();
        if let Some(cleanup) = cleanup {
            cleanup();
        }
        // Does not return for the signals watched here.
        if let Err(err) = emulate_default_handler(signal) {
            log::error!("cannot end by signal {signal}: {err}");
        }
    }
}

fn lock() -> MutexGuard<'static, State> {
    STATE.lock().unwrap_or_else(PoisonError::into_inner)
}
