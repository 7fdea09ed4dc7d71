//! One uninterrupted use of the chip, and the key that stays loaded for the next.

use std::{
    cell::Cell,
    fmt,
    marker::PhantomData,
    sync::{Arc, MutexGuard},
    thread,
    time::Instant,
};

use super::{Kept, Link, SavedContext, Tpm};
use crate::{
    Error, Name, Result,
    command::{Authentic, Command, CommandCode, Open, Response, exception::Exception},
    transport::exchange::Deadline,
};

/// One uninterrupted use of the chip, by one thread of one process.
///
/// An object loaded in it frees its slot when dropped. A thread can have one operation at a time
/// ([`Error::AlreadyBegun`]).
pub struct Operation<'tpm> {
    pub(super) tpm: &'tpm Tpm,
    pub(super) began: Instant,
    /// Whether the connection was kept from an earlier operation and no command on it has succeeded
    /// in this one.
    pub(super) reused: Cell<bool>,
    /// Makes the operation `!Send`: it belongs to the thread that began it.
    pub(super) _thread: PhantomData<MutexGuard<'tpm, ()>>,
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

    /// Saves the context of a key that was kept, if a later operation may need it. If it cannot be
    /// saved, the next use has to load the key from its blob.
    pub(super) fn save_kept(&self, kept: &Kept) {
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
