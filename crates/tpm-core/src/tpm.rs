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
    transport::{self, exchange::Deadline},
    turn::Turn,
};

/// How long the chip may be silent unless the caller says otherwise.
const DEFAULT_DEADLINE: Duration = Duration::from_secs(30);

/// A program whose uses of the chip are further apart than this does not keep one of the few
/// connections that a resource manager has.
const OFTEN: Duration = Duration::from_secs(10);

/// A TPM that can be reached at a [`Tcti`].
///
/// Making one sends nothing; [`Tpm::begin`] opens the connection. A bare connection is closed
/// after each operation and nothing stays in the chip. A managed one
/// ([`Tcti::is_managed`]) is kept open between operations, with at most the key that was used
/// last. A kept connection that has ended is replaced by another without an error.
///
/// tpm2-abrmd (`tabrmd:`) has 27 connections for the whole machine by default. [`Tpm::rest`]
/// and [`Tpm::sharing`] give an idle one back.
pub struct Tpm {
    tcti: Tcti,
    deadline: Duration,
    shares: bool,
    /// Held for a whole operation.
    turn: Turn,
    /// Held for one command, by whoever holds `turn`.
    link: Mutex<Link>,
    clock: Mutex<Clock>,
}

/// When something happened last.
#[derive(Default)]
struct Clock {
    /// The chip answered.
    answered: Option<Instant>,
    /// An operation ended.
    ended: Option<Instant>,
    /// A connection was given back that a key had been used on.
    returned: Option<Instant>,
    /// The requests of the threads that have said since when they wait.
    waits_since: Option<Instant>,
}

/// The connection, while there is one.
#[derive(Default)]
struct Link {
    connection: Option<Connection>,
    /// The key that is loaded on a managed connection.
    kept: Option<Kept>,
    /// Whether a key has been used on it, after it was loaded.
    used: bool,
    /// Whether it is kept although a key has been used.
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

/// The context of a key, once the chip has saved it: on a managed connection that is when
/// another key takes its place, and so never for a program that signs once.
pub(crate) type SavedContext = Arc<OnceLock<Vec<u8>>>;

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
            clock: Mutex::default(),
        }
    }

    /// The same with another deadline (default: 30 s): how long the chip, and whatever is
    /// between it and us, may be silent. Making an RSA key may take ten times as long.
    #[must_use]
    pub fn with_deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// The same for a program that can be idle for long, like many others, and has no thread to
    /// call [`Tpm::rest`] in.
    ///
    /// A connection to a resource manager that has few is kept while a key waits for its first
    /// use, and by a program that uses the chip more often than every ten seconds. Otherwise it
    /// is given back after an operation, and a [`ReadyKey`](crate::ReadyKey) that was on it is
    /// [`Error::Stale`] unless its context was saved.
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

    /// Takes the chip for one operation, waiting for other threads.
    ///
    /// On a bare connection other programs wait until the [`Operation`] is dropped, so keep
    /// it short and ask nobody anything in between.
    ///
    /// All waits of an operation count towards one deadline, which begins anew when the chip
    /// answers: for another thread's turn, for a connection, for a command.
    ///
    /// # Errors
    ///
    /// [`Error::NoTpm`], [`Error::PermissionDenied`], [`Error::Busy`] or [`Error::Timeout`]
    /// if no connection can be opened; [`Error::AlreadyBegun`] if this thread has an [`Operation`].
    pub fn begin(&self) -> Result<Operation<'_>> {
        let began = self.clock().waits_since.unwrap_or_else(Instant::now);
        self.turn.take(|| self.left(began))?;
        // From here on the turn is given back by dropping this.
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
        let transport = transport::open(&self.tcti, deadline)?;
        let returned = self.clock().returned;
        *link = Link {
            connection: Some(Connection::new(transport)),
            used,
            stays: returned.is_some_and(|returned| returned.elapsed() < OFTEN),
            ..Link::default()
        };
        Ok(())
    }

    /// Lets the waits of all operations count from `began`, for as long as the result lives: a
    /// caller that let its threads wait for each other before gives the time of the request.
    ///
    /// For callers that let one thread at a time use this TPM.
    #[must_use = "it counts until this is dropped"]
    pub fn waiting_since(&self, began: Instant) -> Waiting<'_> {
        self.clock().waits_since = Some(began);
        Waiting(self)
    }

    /// How much longer somebody waits for the chip who began to at `began`: until the deadline
    /// after that, or after the chip's last answer.
    ///
    /// # Errors
    ///
    /// [`Error::Timeout`] when the time is over.
    pub fn left(&self, began: Instant) -> Result<Duration> {
        self.deadline(began).left()
    }

    fn deadline(&self, began: Instant) -> Deadline {
        let answered = self.clock().answered.unwrap_or(began);
        Deadline::since(began.max(answered), self.deadline)
    }

    /// Gives the connection to a resource manager back if it has not been used for `idle`, and
    /// nobody uses it now. The key on it is saved, so that it need not be loaded anew.
    ///
    /// Returns whether there is no connection now. For programs with a thread that has nothing
    /// else to do.
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
        if let Some(kept) = kept
            && kept.context.get().is_none()
        {
            match op.save(kept.handle, &kept.name) {
                // Another thread cannot have been quicker: this one has the chip.
                Ok(saved) => drop(kept.context.set(saved)),
                Err(err) => log::debug!("a key that was in use is not saved: {err}"),
            }
        }
        *self.link() = Link::default();
        true
    }

    /// Forgets the connection without a word to the chip, and without ending it: for a forked
    /// child, whose parent goes on to use it.
    ///
    /// A lock that another thread held at the fork is left alone, and so is what it guards.
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

    fn clock(&self) -> MutexGuard<'_, Clock> {
        self.clock.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Closes the connection after an operation, unless it is worth more than the place that it
    /// takes.
    fn end_operation(&self) {
        let mut link = self.link();
        let now = Instant::now();
        let mut clock = self.clock();
        let before = clock.ended.replace(now);
        let keeps = if thread::panicking() {
            // It leaves the chip in a state that nobody knows.
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

/// The waits of a [`Tpm`]'s operations count from when somebody began to wait.
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
/// Everything that is loaded in it frees its slot when dropped. A thread has one at a time
/// ([`Error::AlreadyBegun`]).
pub struct Operation<'tpm> {
    tpm: &'tpm Tpm,
    began: Instant,
    /// Whether the connection is an old one, of which it is not known yet whether it works.
    reused: Cell<bool>,
    /// It belongs to the thread that began it.
    _thread: PhantomData<MutexGuard<'tpm, ()>>,
}

impl Operation<'_> {
    /// Runs a command whose reply comes in a salted session.
    ///
    /// After a failure of the connection it is given up: the next operation opens another.
    pub(crate) fn run(&self, command: Command<'_, Authentic>) -> Result<Response> {
        self.exchange(command)
    }

    /// Runs a command whose reply nobody authenticates, for the reason `why`.
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
        let tpm = self.tpm;
        let mut link = tpm.link();
        let is_first = self.reused.take();
        let mut result = self.send(&mut link, &command);
        if is_first && matches!(result, Err(Error::Connection(_) | Error::Stale)) {
            // The connection ended, or was spoilt, while it was idle. What this operation wants
            // has no part done yet.
            result = if command.uses_connection() {
                Err(Error::Stale)
            } else {
                tpm.connect(&mut link, tpm.deadline(self.began))?;
                self.send(&mut link, &command)
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

    /// The handle of the key `name`, if the connection still holds it. It is going to be used.
    pub(crate) fn kept(&self, name: &Name) -> Option<u32> {
        let mut link = self.tpm.link();
        link.used = true;
        link.kept
            .as_ref()
            .filter(|kept| kept.name == *name)
            .map(|kept| kept.handle)
    }

    /// What it means that a command with the kept key failed with `err`: in most cases that a
    /// resource manager could not bring the key back, since the TPM was reset or cleared below
    /// it. The key is given up then, to be loaded again.
    ///
    /// Managers differ in the codes for that. Loading it again costs little, and says what is
    /// wrong if that is something else.
    pub(crate) fn lost(&self, err: Error) -> Error {
        let is_lost = match &err {
            // The chip has found the key and dislikes an argument.
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

    /// Leaves the key `name` loaded for the next operation, in place of the one before it,
    /// whose context is saved if it is not yet.
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
        if before.context.get().is_none() {
            match self.save(before.handle, &before.name) {
                // Another thread cannot have been quicker: this one has the chip.
                Ok(saved) => drop(before.context.set(saved)),
                // It has to be loaded anew, then.
                Err(err) => log::debug!("a key that was in use is not saved: {err}"),
            }
        }
        self.flush(before.handle)
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
