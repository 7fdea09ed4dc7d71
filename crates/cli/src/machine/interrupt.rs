//! Cleaning up when a signal such as Ctrl-C ends the program.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use signal_hook::flag;
use signal_hook::iterator::Signals;
use signal_hook::low_level::emulate_default_handler;

use crate::machine::threads;

type Cleanup = Box<dyn FnOnce() + Send>;

struct State {
    watching: bool,
    cleanup: Option<Cleanup>,
    /// Whether the first signal is held back until the work is done.
    waits: bool,
    /// The signal that waits.
    waiting: Option<i32>,
}

static STATE: Mutex<State> = Mutex::new(State {
    watching: false,
    cleanup: None,
    waits: false,
    waiting: None,
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
    let mut state = watched()?;
    state.cleanup = Some(Box::new(cleanup));
    Ok(Guard(()))
}

/// Has the first signal wait until this is dropped, or [`Hold::end_if_interrupted`] is called,
/// and runs `first` when it comes; a second signal ends the program at once, after `second`.
///
/// For work that would leave something behind if it were interrupted.
///
/// # Errors
///
/// If signals cannot be watched; then each ends the program at once.
pub(crate) fn hold(
    first: impl FnOnce() + Send + 'static,
    second: impl FnOnce() + Send + 'static,
) -> io::Result<Hold> {
    let mut state = watched()?;
    state.cleanup = Some(Box::new(move || {
        first();
        lock().cleanup = Some(Box::new(second));
    }));
    state.waits = true;
    Ok(Hold(()))
}

/// Lets signals wait; see [`hold`].
#[must_use = "signals wait only while this lives"]
pub(crate) struct Hold(());

impl Hold {
    /// Ends the program by the signal that came meanwhile, after `tell`; else nothing happens.
    pub(crate) fn end_if_interrupted(self, tell: impl FnOnce()) {
        let waiting = lock().waiting.take();
        if let Some(signal) = waiting {
            tell();
            end(signal);
        }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        let mut state = lock();
        state.cleanup = None;
        state.waits = false;
    }
}

/// The signals that end the program.
const SIGNALS: [i32; 4] = [SIGHUP, SIGINT, SIGQUIT, SIGTERM];

/// Set as soon as one of [`SIGNALS`] is there, before the main thread goes on.
static CAME: LazyLock<Arc<AtomicBool>> = LazyLock::new(Arc::default);

/// Waits for the end if a signal that ends the program has come already.
///
/// A program that was stopped may find such a signal when it goes on. It must not touch the
/// terminal before it ends: in the background that would stop it once more.
pub(crate) fn end_if_due() {
    while lock().ends_at_once() && CAME.load(Ordering::SeqCst) {
        thread::park_timeout(Duration::from_millis(20));
    }
}

impl State {
    fn ends_at_once(&self) -> bool {
        self.watching && !self.waits
    }
}

/// The state, with signals being watched.
fn watched() -> io::Result<MutexGuard<'static, State>> {
    let mut state = lock();
    if !state.watching {
        for signal in SIGNALS {
            flag::register(signal, Arc::clone(&CAME))?;
        }
        let signals = Signals::new(SIGNALS)?;
        threads::spawn("signals", move || watch(signals))?;
        state.watching = true;
    }
    Ok(state)
}

impl Drop for Guard {
    fn drop(&mut self) {
        lock().cleanup = None;
    }
}

fn watch(mut signals: Signals) {
    for signal in signals.forever() {
        let (cleanup, waits) = {
            let mut state = lock();
            let waits = state.waits && state.waiting.is_none();
            if waits {
                state.waiting = Some(signal);
            }
            (state.cleanup.take(), waits)
        };
        if let Some(cleanup) = cleanup {
            cleanup();
        }
        if !waits {
            end(signal);
        }
    }
}

/// Does not return for the signals that are watched here.
fn end(signal: i32) {
    if let Err(err) = emulate_default_handler(signal) {
        log::error!("cannot end by signal {signal}: {err}");
    }
}

fn lock() -> MutexGuard<'static, State> {
    STATE.lock().unwrap_or_else(PoisonError::into_inner)
}
