//! The chip, and one uninterrupted use of it.

use std::{
    cell::Cell,
    fmt,
    marker::PhantomData,
    mem,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, TryLockError},
    thread,
    time::{Duration, Instant},
};

use crate::{
    Error, Name, Result, Tcti,
    command::{
        Authentic, Command, CommandCode, Open, Response, connection::Connection,
        exception::Exception,
    },
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
/// Callers that show a person what goes on look at it from another thread. Of several threads that
/// wait, the last one to begin counts.
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
    /// When each waiting request began, for the threads that told it ([`Tpm::waiting_since`]).
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
    /// gives [`Error::Stale`] unless its context was saved.
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
    /// [`Error::NoTpm`], [`Error::PermissionDenied`], [`Error::Busy`] or [`Error::Timeout`]
    /// if no connection can be opened; [`Error::AlreadyBegun`] if this thread has an [`Operation`].
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
    /// [`Error::Timeout`] if no time is left.
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

/// One uninterrupted use of the chip, by one thread of one process.
///
/// An object loaded in it frees its slot when dropped. A thread can have one operation at a time
/// ([`Error::AlreadyBegun`]).
pub struct Operation<'tpm> {
    tpm: &'tpm Tpm,
    began: Instant,
    /// Whether the connection was kept from an earlier operation and no command on it has succeeded
    /// in this one.
    reused: Cell<bool>,
    /// Makes the operation `!Send`: it belongs to the thread that began it.
    _thread: PhantomData<MutexGuard<'tpm, ()>>,
}

impl Operation<'_> {
    /// Runs a command whose reply comes in a salted session.
    ///
    /// A connection that failed is closed, and the next operation opens another.
    pub(crate) fn run(&self, command: Command<'_, Authentic>) -> Result<Response> {
        self.exchange(command)
    }

    /// Runs a command whose reply is not authenticated, for the reason `why`.
    ///
    /// # Errors
    ///
    /// [`Error::Unproven`] if `why` is no reason for this command; nothing is sent then.
    pub(crate) fn run_unauthenticated(
        &self,
        command: Command<'_, Open>,
        why: Exception,
    ) -> Result<Response> {
        if !why.covers(command.code()) {
            return Err(Error::Unproven);
        }
        self.exchange(command)
    }

    fn exchange<A>(&self, command: Command<'_, A>) -> Result<Response> {
        match self.exchange_once(&command) {
            // A resource manager has room for the kept key; a bare chip may not.
            Err(Error::Full) if !self.is_managed() && self.put_away_kept() => {
                self.exchange_once(&command)
            }
            result => result,
        }
    }

    fn exchange_once<A>(&self, command: &Command<'_, A>) -> Result<Response> {
        let tpm = self.tpm;
        let mut link = tpm.link();
        let is_first = self.reused.take();
        let mut result = self.send(&mut link, command);
        if is_first && matches!(result, Err(Error::Connection(_) | Error::Stale)) {
            // The connection ended or broke while it was idle. This operation has done nothing yet,
            // so it can start over.
            result = if command.uses_connection() {
                Err(Error::Stale)
            } else {
                tpm.connect(&mut link, tpm.deadline(self.began))?;
                self.send(&mut link, command)
            };
        }
        if let Err(
            Error::Connection(_)
            | Error::Timeout { .. }
            | Error::Busy
            | Error::Malformed(_)
            | Error::Stale,
        ) = &result
        {
            *link = Link::default();
        }
        result
    }

    fn send<A>(&self, link: &mut Link, command: &Command<'_, A>) -> Result<Response> {
        let tpm = self.tpm;
        let connection = link.connection.as_mut().ok_or(Error::Stale)?;
        let _asking = tpm.silence.begin();
        let deadline = match command.patience() {
            1 => tpm.deadline(self.began),
            patience => Deadline::after(tpm.deadline * patience),
        };
        let result = connection.run(command, deadline, !self.is_managed());
        let silent = matches!(
            result,
            Err(Error::Connection(_) | Error::Timeout { .. } | Error::Busy)
        );
        if !silent {
            tpm.clock().answered = Some(Instant::now());
        }
        result
    }

    /// Whether a resource manager isolates this connection.
    pub(crate) fn is_managed(&self) -> bool {
        self.tpm.tcti.is_managed()
    }

    /// The handle of the key `name` if it is still loaded on this connection; notes that the key is
    /// used now.
    pub(crate) fn kept(&self, name: &Name) -> Option<u32> {
        let mut link = self.tpm.link();
        link.used = true;
        link.kept
            .as_ref()
            .filter(|kept| kept.name == *name)
            .map(|kept| kept.handle)
    }

    /// The error to report after a command with the kept key failed with `err`. Usually the
    /// resource manager could not restore the key, because the TPM was reset or cleared. Then the
    /// key is forgotten and the error is [`Error::Stale`]: the caller loads the key again.
    ///
    /// Resource managers return different codes in this case. Loading the key again is cheap, and
    /// gives the true error if the cause was another one.
    pub(crate) fn lost(&self, err: Error) -> Error {
        let is_lost = match &err {
            // A code about a parameter: the chip found the key and refused an argument.
            Error::Command { rc, .. } => rc.parameter().is_none(),
            Error::Integrity(_) | Error::Policy(_) | Error::HierarchyDisabled(_) => true,
            Error::AuthRejected { .. } => true,
            _ => false,
        };
        if !is_lost {
            return err;
        }
        log::debug!("a key that was loaded is lost: {err}");
        *self.tpm.link() = Link::default();
        Error::Stale
    }

    /// Keeps the key `name` loaded for the next operation. It takes the place of the key kept
    /// before, whose context is saved first if it was not.
    pub(crate) fn keep(&self, name: &Name, handle: u32, context: &SavedContext) -> Result<()> {
        let kept = Kept {
            name: name.clone(),
            handle,
            context: Arc::clone(context),
        };
        let Some(before) = self.tpm.link().kept.replace(kept) else {
            return Ok(());
        };
        if before.handle == handle {
            return Ok(());
        }
        self.save_kept(&before);
        self.flush(before.handle)
    }

    /// Saves the context of a key that was kept, if anybody may want it. If it cannot be saved, the
    /// next use has to load the key from its blob.
    fn save_kept(&self, kept: &Kept) {
        if !kept.is_to_be_saved() {
            return;
        }
        match self.save(kept.handle, &kept.name) {
            // The context is still empty: only the thread that holds the chip sets it.
            Ok(saved) => drop(kept.context.set(saved)),
            Err(err) => log::debug!("a key that was in use is not saved: {err}"),
        }
    }

    /// Frees the slot of the kept key. Returns whether there was one.
    fn put_away_kept(&self) -> bool {
        let kept = self.tpm.link().kept.take();
        let Some(kept) = kept else {
            return false;
        };
        self.save_kept(&kept);
        if let Err(err) = self.flush(kept.handle) {
            log::warn!("a transient slot stays occupied: {err}");
        }
        true
    }

    /// The context of a loaded key, for this chip until its next reset.
    pub(crate) fn save(&self, handle: u32, name: &Name) -> Result<Vec<u8>> {
        let command = Command::new(CommandCode::ContextSave).handle(handle, name);
        Ok(self
            .run_unauthenticated(command, Exception::Context)?
            .reader()
            .remainder()
            .to_vec())
    }

    /// Frees the slot of a transient object or session.
    pub(crate) fn flush(&self, handle: u32) -> Result<()> {
        let command = Command::new(CommandCode::FlushContext).param_u32(handle);
        self.run_unauthenticated(command, Exception::Context)
            .map(drop)
    }
}

impl Drop for Operation<'_> {
    fn drop(&mut self) {
        // Nothing stays in a bare chip. After a panic the chip's state is unknown.
        if !self.is_managed() && !thread::panicking() {
            self.put_away_kept();
        }
        self.tpm.end_operation();
        self.tpm.turn.give_back();
    }
}

impl fmt::Debug for Operation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Operation")
            .field("tpm", self.tpm)
            .finish_non_exhaustive()
    }
}
