//! The chip: the connection to it, and the operations that take turns on it.

mod operation;

use std::{
    cell::Cell,
    fmt,
    marker::PhantomData,
    mem,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, TryLockError},
    thread,
    time::{Duration, Instant},
};

pub use self::operation::Operation;
use crate::{
    Name, Result, Tcti,
    command::connection::Connection,
    transport::{self, exchange::Deadline, nodes::Node},
    turn::Turn,
};

/// How long the chip may take to answer, unless the caller sets another deadline.
const DEFAULT_DEADLINE: Duration = Duration::from_secs(30);

/// A program that uses the chip less often than this gives its connection back, because a resource
/// manager has few.
const OFTEN: Duration = Duration::from_secs(10);

/// A TPM that can be reached at a [`Tcti`].
///
/// [`Tpm::new`] sends nothing; [`Tpm::begin`] opens the connection. A bare connection is closed
/// after each operation and nothing stays in the chip. A managed one ([`Tcti::is_managed`]) stays
/// open between operations and keeps at most one key loaded, the last one used. If a kept
/// connection has ended, the next operation opens another without an error.
///
/// tpm2-abrmd (`tabrmd:`) has 27 connections for the whole machine by default. [`Tpm::rest`] and
/// [`Tpm::sharing`] give an idle connection back.
pub struct Tpm {
    tcti: Tcti,
    deadline: Duration,
    shares: bool,
    /// Held for a whole operation.
    turn: Turn,
    /// Locked for one command, by the thread that holds `turn`.
    link: Mutex<Link>,
    /// The node at which the chip was found last, for [`Tcti::Kernel`].
    found: Mutex<Option<Node>>,
    clock: Mutex<Clock>,
    silence: Silence,
}

/// For how long a TPM lets its caller wait: for the chip, for a connection, or for other threads.
///
/// Another thread reads it, to show progress to a person. If several threads wait, it counts from
/// the last request that began.
#[derive(Debug, Clone, Default)]
pub struct Silence(Arc<Mutex<Option<Instant>>>);

impl Silence {
    /// The time since a request that has no answer yet; `None` if there is none.
    #[must_use]
    pub fn lasts(&self) -> Option<Duration> {
        self.asked().map(|asked| asked.elapsed())
    }

    /// A request has no answer until the result is dropped.
    fn begin(&self) -> Asking {
        *self.asked() = Some(Instant::now());
        Asking(self.clone())
    }

    fn asked(&self) -> MutexGuard<'_, Option<Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request that has no answer yet.
struct Asking(Silence);

impl Drop for Asking {
    fn drop(&mut self) {
        *self.0.asked() = None;
    }
}

/// The times of the last events.
#[derive(Default)]
struct Clock {
    /// The chip answered.
    answered: Option<Instant>,
    /// An operation ended.
    ended: Option<Instant>,
    /// A connection was closed after a key had been used on it.
    returned: Option<Instant>,
    /// The time given to [`Tpm::waiting_since`], as long as it counts.
    waits_since: Option<Instant>,
}

/// The open connection, if there is one.
#[derive(Default)]
struct Link {
    connection: Option<Connection>,
    /// The key that was used last, if it is still loaded: on a managed connection between operations, on a
    /// bare one until the end of its operation.
    kept: Option<Kept>,
    /// Whether a key was used on the connection after it was loaded.
    used: bool,
    /// Whether the connection is kept although a key was used on it.
    stays: bool,
}

impl Link {
    fn abandon(self) {
        if let Some(connection) = self.connection {
            connection.abandon();
        }
    }
}

/// A key that stays loaded.
struct Kept {
    name: Name,
    handle: u32,
    context: SavedContext,
}

/// The saved context of a key, empty until the chip has saved it. That happens when another key takes
/// the key's place, and on a bare connection at the end of the operation, if a
/// [`ReadyKey`](crate::ReadyKey) is left by then. So a program that signs once never pays for it.
pub(crate) type SavedContext = Arc<OnceLock<Vec<u8>>>;

impl Kept {
    /// Whether a later operation may need the context and the chip has not saved it yet.
    fn is_to_be_saved(&self) -> bool {
        self.context.get().is_none() && Arc::strong_count(&self.context) > 1
    }
}

impl Tpm {
    /// A TPM at `tcti`; nothing is opened yet.
    #[must_use]
    pub fn new(tcti: Tcti) -> Self {
        Self {
            tcti,
            deadline: DEFAULT_DEADLINE,
            shares: false,
            turn: Turn::default(),
            link: Mutex::default(),
            found: Mutex::default(),
            clock: Mutex::default(),
            silence: Silence::default(),
        }
    }

    /// The same with another deadline (default: 30 s): how long the chip, and the programs between
    /// it and this process, may take to answer. Making an RSA key may take ten times as long.
    #[must_use]
    pub fn with_deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// The same for a program that may be idle for hours and has no thread that could call
    /// [`Tpm::rest`].
    ///
    /// If the resource manager has few connections, this one is closed after an operation, except
    /// while a loaded key waits for its first use or if the program uses the chip more often than
    /// every ten seconds. After it is closed, a [`ReadyKey`](crate::ReadyKey) that was loaded on it
    /// gives [`Error::Stale`](crate::Error::Stale) unless its context was saved.
    #[must_use]
    pub fn sharing(mut self) -> Self {
        self.shares = true;
        self
    }

    /// Where this TPM is.
    #[must_use]
    pub fn tcti(&self) -> &Tcti {
        &self.tcti
    }

    /// Where this TPM was found when a connection was opened last: for [`Tcti::Kernel`] the device
    /// node. Before that, and for the others, [`Tpm::tcti`].
    #[must_use]
    pub fn found(&self) -> Tcti {
        let node = self.node().clone();
        node.map_or_else(|| self.tcti.clone(), |node| Tcti::Device(node.path))
    }

    /// For how long this TPM lets its caller wait, for another thread to look at.
    #[must_use]
    pub fn silence(&self) -> Silence {
        self.silence.clone()
    }

    /// Waits for other threads, then reserves the chip for one operation.
    ///
    /// On a bare connection other programs wait until the [`Operation`] is dropped. Keep it short,
    /// and ask the user nothing while it lives.
    ///
    /// One deadline covers all waits of an operation: for other threads, for a connection, and for
    /// a command. It starts again each time the chip answers.
    ///
    /// # Errors
    ///
    /// [`Error::NoTpm`](crate::Error::NoTpm), [`Error::PermissionDenied`](crate::Error::PermissionDenied), [`Error::Busy`](crate::Error::Busy) or [`Error::Timeout`](crate::Error::Timeout)
    /// if no connection can be opened; [`Error::AlreadyBegun`](crate::Error::AlreadyBegun) if this thread has an [`Operation`].
    pub fn begin(&self) -> Result<Operation<'_>> {
        let _asking = self.silence.begin();
        let began = self.clock().waits_since.unwrap_or_else(Instant::now);
        self.turn.take(|| self.left(began))?;
        // From here on, dropping `op` gives the turn back.
        let op = Operation {
            tpm: self,
            began,
            reused: Cell::new(false),
            _thread: PhantomData,
        };
        let mut link = self.link();
        let is_alive = |connection: &Connection| connection.is_alive();
        if link.connection.as_ref().is_some_and(is_alive) {
            op.reused.set(true);
        } else {
            link.used = false;
            self.connect(&mut link, self.deadline(began))?;
        }
        drop(link);
        Ok(op)
    }

    /// Replaces the connection by a new one.
    fn connect(&self, link: &mut Link, deadline: Deadline) -> Result<()> {
        let used = mem::take(link).used;
        // Not locked meanwhile: another thread may ask where the TPM is.
        let mut node = self.node().clone();
        let transport = transport::open(&self.tcti, &mut node, deadline)?;
        *self.node() = node;
        let returned = self.clock().returned;
        *link = Link {
            connection: Some(Connection::new(transport)),
            used,
            stays: returned.is_some_and(|returned| returned.elapsed() < OFTEN),
            ..Link::default()
        };
        Ok(())
    }

    /// While the result lives, the deadline of all operations counts from `began`, the time of a
    /// request.
    ///
    /// For callers whose threads wait for each other before they call [`Tpm::begin`], and that let
    /// one thread at a time use this TPM.
    #[must_use = "it counts until this is dropped"]
    pub fn waiting_since(&self, began: Instant) -> Waiting<'_> {
        self.clock().waits_since = Some(began);
        Waiting(self)
    }

    /// How much longer a request that began at `began` may wait for the chip: until one deadline
    /// after `began` or after the chip's last answer, whichever is later.
    ///
    /// # Errors
    ///
    /// [`Error::Timeout`](crate::Error::Timeout) if no time is left.
    pub fn left(&self, began: Instant) -> Result<Duration> {
        self.deadline(began).left()
    }

    fn deadline(&self, began: Instant) -> Deadline {
        let answered = self.clock().answered.unwrap_or(began);
        Deadline::since(began.max(answered), self.deadline)
    }

    /// Closes a connection to a resource manager that was idle for at least `idle` and is not in
    /// use now. Saves the context of the key on it, so that the key need not be loaded from its
    /// blob again.
    ///
    /// Returns whether no connection is open afterwards. For programs with a thread to call it from
    /// time to time.
    pub fn rest(&self, idle: Duration) -> bool {
        let is_idle = || {
            let ended = self.clock().ended;
            ended.is_none_or(|ended| ended.elapsed() >= idle)
        };
        if self.link().connection.is_none() {
            return true;
        }
        if !is_idle() || !self.turn.try_take() {
            return false;
        }
        let op = Operation {
            tpm: self,
            began: Instant::now(),
            reused: Cell::new(true),
            _thread: PhantomData,
        };
        let kept = self.link().kept.take();
        if let Some(kept) = kept {
            op.save_kept(&kept);
        }
        *self.link() = Link::default();
        true
    }

    /// Closes this process' copy of the connection and sends nothing: for a forked child, whose
    /// parent still uses the connection.
    ///
    /// A lock that another thread held at the time of the fork stays locked for ever. Leaves it and
    /// its contents alone.
    pub fn forget(&self) {
        match self.link.try_lock() {
            Ok(mut link) => mem::take(&mut *link).abandon(),
            Err(TryLockError::Poisoned(poisoned)) => {
                mem::take(&mut *poisoned.into_inner()).abandon()
            }
            Err(TryLockError::WouldBlock) => {}
        }
    }

    fn link(&self) -> MutexGuard<'_, Link> {
        self.link.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn node(&self) -> MutexGuard<'_, Option<Node>> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn clock(&self) -> MutexGuard<'_, Clock> {
        self.clock.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Closes the connection after an operation, unless it should stay open for the next one.
    fn end_operation(&self) {
        let mut link = self.link();
        let now = Instant::now();
        let mut clock = self.clock();
        let before = clock.ended.replace(now);
        let keeps = if thread::panicking() {
            // The operation ended in the middle of an exchange, so the chip's state is unknown.
            false
        } else if self.shares && matches!(self.tcti, Tcti::Tabrmd(_)) {
            let is_often = before.is_some_and(|before| now - before < OFTEN);
            link.kept.is_some() && (!link.used || link.stays && is_often)
        } else {
            self.tcti.is_managed()
        };
        if !keeps {
            if link.used {
                clock.returned = Some(now);
            }
            *link = Link::default();
        }
    }
}

/// While it lives, the deadline of a [`Tpm`]'s operations counts from the time given to
/// [`Tpm::waiting_since`].
#[derive(Debug)]
pub struct Waiting<'tpm>(&'tpm Tpm);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.clock().waits_since = None;
    }
}

impl fmt::Debug for Tpm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tpm")
            .field("tcti", &self.tcti)
            .finish_non_exhaustive()
    }
}
