//! Threads that may run while a person is asked something. They leave all signals to the main thread.
//!
//! The kernel gives a signal for a process to any thread that does not block it. If that were
//! another one, the main thread could go on before the signal is noted: a program that was
//! continued would learn of it only after it had asked its question, and would ask it twice.
//!
//! # Source
//!
//! signal(7), "Signal mask and pending signals"; pthread_sigmask(3).

use std::io;
use std::thread::{Builder, JoinHandle};

use nix::sys::signal::{SigSet, SigmaskHow};

/// Starts a thread that takes no signals. It is not waited for.
///
/// # Errors
///
/// If it cannot be started.
pub(crate) fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    // A thread begins with the mask of the one that starts it.
    let before = SigSet::all().thread_swap_mask(SigmaskHow::SIG_BLOCK)?;
    let spawned = Builder::new().name(name.into()).spawn(work);
    before.thread_set_mask()?;
    spawned.map(drop::<JoinHandle<()>>)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use nix::sys::signal::Signal;

    use super::*;

    #[test]
    fn a_thread_takes_no_signals_and_the_one_that_starts_it_still_does() {
        let before = SigSet::thread_get_mask().unwrap();
        let (sender, receiver) = mpsc::channel();
        spawn("test", move || {
            sender.send(SigSet::thread_get_mask()).unwrap()
        })
        .unwrap();
        let mask = receiver.recv().unwrap().unwrap();
        for signal in [Signal::SIGCONT, Signal::SIGTSTP, Signal::SIGTERM] {
            assert!(mask.contains(signal), "{signal}");
        }
        assert_eq!(SigSet::thread_get_mask().unwrap(), before);
    }
}
