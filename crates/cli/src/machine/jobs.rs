//! Ctrl-Z and `fg` while a person is asked something.
//!
//! A program that stops in the middle of a question would leave a terminal without echo to the shell,
//! and find one with echo when it continues. So the question handles both signals: it restores the
//! terminal, stops this process itself, and asks again. Everywhere else the signals have their default
//! effect.
//!
//! # Source
//!
//! signal(7); credentials(7) and POSIX.1-2017 "Orphaned Process Group".

use std::io::{self, Read};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Signal, getpid, kill_process};
use signal_hook::consts::{SIGCONT, SIGTSTP};
use signal_hook::{flag, low_level};

use crate::machine::interrupt;

/// An event that ends the waiting of a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Event {
    /// There is something to read, or its end.
    Input,
    /// The process is to stop (Ctrl-Z): see [`Question::stop`].
    Stop,
    /// The process was stopped by other means, and goes on.
    Continued,
}

struct Signals {
    /// Has a byte for each signal.
    wake: UnixStream,
    stop: Arc<AtomicBool>,
    continued: Arc<AtomicBool>,
    /// While no question is asked, SIGTSTP stops this process as it does by default.
    by_default: Arc<AtomicBool>,
}

static SIGNALS: Mutex<Option<Signals>> = Mutex::new(None);

/// A question that is being asked. It handles the signals until it is dropped.
pub(crate) struct Question {
    signals: MutexGuard<'static, Option<Signals>>,
}

impl Question {
    /// Begins to watch signals.
    ///
    /// # Errors
    ///
    /// If they cannot be watched.
    pub(crate) fn new() -> io::Result<Self> {
        let mut signals = SIGNALS.lock().unwrap_or_else(PoisonError::into_inner);
        let watched = match signals.take() {
            Some(watched) => watched,
            None => Signals::watch()?,
        };
        watched.by_default.store(false, Ordering::SeqCst);
        *signals = Some(watched);
        let question = Self { signals };
        question.forget()?;
        Ok(question)
    }

    /// Waits for a signal or for input from `terminal`; signals come first.
    ///
    /// # Errors
    ///
    /// If the terminal cannot be waited for.
    pub(crate) fn wait(&self, terminal: impl AsFd) -> io::Result<Event> {
        let Some(signals) = self.signals.as_ref() else {
            return Ok(Event::Input);
        };
        loop {
            if signals.stop.swap(false, Ordering::SeqCst) {
                return Ok(Event::Stop);
            }
            if signals.continued.swap(false, Ordering::SeqCst) {
                return Ok(Event::Continued);
            }
            let mut ends = [
                PollFd::new(&signals.wake, PollFlags::IN),
                PollFd::new(&terminal, PollFlags::IN),
            ];
            match poll(&mut ends, None) {
                Err(rustix::io::Errno::INTR) => continue,
                polled => polled?,
            };
            let [woken, input] = ends.map(|end| !end.revents().is_empty());
            if woken {
                self.drain()?;
            } else if input {
                return Ok(Event::Input);
            }
        }
    }

    /// Stops this process, as Ctrl-Z does to programs that do not watch it; returns when it goes
    /// on. Does nothing in an orphaned process group, which no shell could continue.
    ///
    /// # Errors
    ///
    /// If the signal cannot be sent.
    pub(crate) fn stop(&self) -> io::Result<()> {
        if !is_orphaned() {
            kill_process(getpid(), Signal::STOP)?;
            interrupt::end_if_due();
        }
        self.forget()
    }

    /// Forgets that the process was stopped and continued: the question need not be asked again.
    pub(crate) fn is_in_order(&self) {
        if let Some(signals) = self.signals.as_ref() {
            signals.continued.store(false, Ordering::SeqCst);
        }
    }

    /// Forgets signals from before this question.
    fn forget(&self) -> io::Result<()> {
        self.drain()?;
        if let Some(signals) = self.signals.as_ref() {
            signals.stop.store(false, Ordering::SeqCst);
            signals.continued.store(false, Ordering::SeqCst);
        }
        Ok(())
    }

    fn drain(&self) -> io::Result<()> {
        let Some(signals) = self.signals.as_ref() else {
            return Ok(());
        };
        let mut bytes = [0; 64];
        loop {
            match (&signals.wake).read(&mut bytes) {
                Ok(0) => return Ok(()),
                Ok(_) => {}
                Err(err) if err.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(err) if err.kind() == io::ErrorKind::Interrupted => {}
                Err(err) => return Err(err),
            }
        }
    }
}

impl Drop for Question {
    fn drop(&mut self) {
        if let Some(signals) = self.signals.as_ref() {
            // signal-hook stops without regard to orphaned groups.
            signals.by_default.store(!is_orphaned(), Ordering::SeqCst);
        }
    }
}

impl Signals {
    fn watch() -> io::Result<Self> {
        let (wake, sender) = UnixStream::pair()?;
        wake.set_nonblocking(true)?;
        let flag = |value| Arc::new(AtomicBool::new(value));
        let (stop, continued, by_default) = (flag(false), flag(false), flag(false));
        // The flag first, so that the thread that is woken finds it set.
        flag::register_conditional_default(SIGTSTP, Arc::clone(&by_default))?;
        flag::register(SIGTSTP, Arc::clone(&stop))?;
        low_level::pipe::register(SIGTSTP, sender.try_clone()?)?;
        flag::register(SIGCONT, Arc::clone(&continued))?;
        low_level::pipe::register(SIGCONT, sender)?;
        Ok(Self {
            wake,
            stop,
            continued,
            by_default,
        })
    }
}

/// Whether this process group is orphaned: no ancestor in the same session is outside of the group.
/// Such an ancestor is the shell that would continue us.
fn is_orphaned() -> bool {
    let Some(own) = Ids::of("self") else {
        return true;
    };
    let mut parent = own.parent;
    while let Some(ids) = Ids::of(&parent.to_string()) {
        if ids.session != own.session {
            return true;
        }
        if ids.group != own.group {
            return false;
        }
        parent = ids.parent;
    }
    true
}

/// The process group of this process: 0 if its leader is outside of this process's PID namespace.
pub(crate) fn own_group() -> Option<i32> {
    Ids::of("self").map(|ids| ids.group)
}

/// The session of this process; `None` if its leader is outside of this process's PID namespace.
pub(crate) fn own_session() -> Option<i32> {
    let session = Ids::of("self")?.session;
    (session > 0).then_some(session)
}

/// The numbers of a process (proc_pid_stat(5), fields 4 to 6), each 0 for a process outside of this
/// PID namespace, as that of a container is. rustix has no value for that.
struct Ids {
    parent: i32,
    group: i32,
    session: i32,
}

impl Ids {
    fn of(process: &str) -> Option<Self> {
        let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
        // The name of the program, in parentheses, may have anything in it.
        let (_, fields) = stat.rsplit_once(')')?;
        let mut numbers = fields.split_whitespace().skip(1).map(str::parse);
        let mut next = || numbers.next()?.ok();
        Some(Self {
            parent: next()?,
            group: next()?,
            session: next()?,
        })
    }
}
