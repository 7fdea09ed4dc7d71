//! The chip, and one uninterrupted use of it.

use std::{
    fmt, mem,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, TryLockError},
    thread::{self, ThreadId},
    time::Duration,
};

use crate::{
    Error, Name, Result, Tcti,
    command::{
        Authentic, Command, CommandCode, Open, Response, connection::Connection,
        exception::Exception,
    },
    transport::{self, exchange::Deadline},
};

/// How long an exchange may take unless the caller says otherwise. RSA keys are made in it.
const DEFAULT_DEADLINE: Duration = Duration::from_secs(30);

/// A TPM that can be reached at a [`Tcti`].
///
/// Making one sends nothing; [`Tpm::begin`] opens the connection. On a managed connection
/// ([`Tcti::is_managed`]) it is kept open between operations, with at most the key that was
/// used last; on a bare one it is closed after each operation and nothing stays in the chip.
pub struct Tpm {
    tcti: Tcti,
    deadline: Duration,
    /// Held for a whole operation.
    turn: Mutex<()>,
    /// The thread that holds `turn`. Only that thread writes it, so a thread that reads its own
    /// id here would wait for itself.
    holder: Mutex<Option<ThreadId>>,
    /// Held for one command, by whoever holds `turn`.
    link: Mutex<Link>,
}

/// The connection, while there is one.
#[derive(Default)]
struct Link {
    connection: Option<Connection>,
    /// The key that is loaded on a managed connection.
    kept: Option<Kept>,
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
            turn: Mutex::default(),
            holder: Mutex::default(),
            link: Mutex::default(),
        }
    }

    /// The same with another deadline for each exchange (default: 30 s).
    #[must_use]
    pub fn with_deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
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
    /// # Errors
    ///
    /// [`Error::NoTpm`], [`Error::PermissionDenied`], [`Error::Busy`] or [`Error::Timeout`]
    /// if no connection can be opened. [`Error::AlreadyBegun`] if this thread has not dropped its
    /// last operation yet: it would wait for itself for ever.
    pub fn begin(&self) -> Result<Operation<'_>> {
        if *self.holder() == Some(thread::current().id()) {
            return Err(Error::AlreadyBegun);
        }
        let turn = self.turn.lock().unwrap_or_else(|poisoned: PoisonError<_>| {
            // A panic inside an operation leaves the chip in a state that nobody knows.
            *self.link() = Link::default();
            self.turn.clear_poison();
            poisoned.into_inner()
        });
        let mut link = self.link();
        let is_alive = |connection: &Connection| connection.is_alive();
        if !link.connection.as_ref().is_some_and(is_alive) {
            // One that ended while it was idle had been sent nothing that is not answered.
            *link = Link::default();
            let transport = transport::open(&self.tcti, Deadline::after(self.deadline))?;
            *link = Link {
                connection: Some(Connection::new(transport, self.deadline)),
                kept: None,
            };
        }
        drop(link);
        *self.holder() = Some(thread::current().id());
        Ok(Operation {
            tpm: self,
            _turn: turn,
        })
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

    fn holder(&self) -> MutexGuard<'_, Option<ThreadId>> {
        self.holder.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn link(&self) -> MutexGuard<'_, Link> {
        self.link.lock().unwrap_or_else(PoisonError::into_inner)
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
    _turn: MutexGuard<'tpm, ()>,
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
        let mut link = self.tpm.link();
        let connection = link.connection.as_mut().ok_or(Error::Stale)?;
        let result = connection.run(command, !self.is_managed());
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

    /// Whether a resource manager isolates this connection.
    pub(crate) fn is_managed(&self) -> bool {
        self.tpm.tcti.is_managed()
    }

    /// The handle of the key `name`, if the connection still holds it.
    pub(crate) fn kept(&self, name: &Name) -> Option<u32> {
        let link = self.tpm.link();
        link.kept
            .as_ref()
            .filter(|kept| kept.name == *name)
            .map(|kept| kept.handle)
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
        // `_turn` is given back after this.
        *self.tpm.holder() = None;
        if !self.is_managed() {
            *self.tpm.link() = Link::default();
        }
    }
}

impl fmt::Debug for Operation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Operation")
            .field("tpm", self.tpm)
            .finish_non_exhaustive()
    }
}
