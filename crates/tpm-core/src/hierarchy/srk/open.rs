//! A storage root key that is ready for use in one operation.

use crate::{
    Entity, Error, Name, Operation, Result, Srk,
    chip::get_capability::storage_kind,
    command::{
        Command, CommandCode,
        crypto::{self, Salt},
        exception::Exception,
        session::{SaltKey, Session},
    },
    hierarchy::primary::{self, Primary},
    structures::template::{self, StorageKind},
};

/// A storage root key that is ready for use in one operation: the parent of loaded objects, and the
/// key that sessions are salted to.
///
/// A key without a persistent handle occupies a transient slot as long as this lives.
#[derive(Debug)]
#[must_use = "a storage root key without a handle is flushed as soon as this is dropped"]
pub struct OpenSrk<'op> {
    op: &'op Operation<'op>,
    srk: &'op Srk,
    /// The loaded key, of an SRK without a persistent handle.
    primary: Option<Primary<'op>>,
}

impl Srk {
    /// Makes this key ready for use in `op`. This sends no command for a persistent key; a key
    /// without a handle is made again.
    ///
    /// Whether the chip holds the key shows when the key is used. [`Srk::check`] tests it at once.
    ///
    /// # Errors
    ///
    /// [`Error::OtherTpm`] if the key that was made again is another one.
    pub fn open<'op>(&'op self, op: &'op Operation<'op>) -> Result<OpenSrk<'op>> {
        let primary = if self.handle == 0 {
            let kind = StorageKind::of_public(&self.public);
            let template = template::storage_root_key(kind)?;
            let key = primary::create_unauthenticated(op, &template, Exception::PinnedName)?;
            if *key.name() != self.name {
                return Err(Error::OtherTpm);
            }
            Some(key)
        } else {
            None
        };
        Ok(OpenSrk {
            op,
            srk: self,
            primary,
        })
    }
}

impl<'op> OpenSrk<'op> {
    /// The operation that it belongs to.
    #[must_use]
    pub fn op(&self) -> &'op Operation<'op> {
        self.op
    }

    /// The key, as it is pinned.
    #[must_use]
    pub fn srk(&self) -> &'op Srk {
        self.srk
    }

    /// Runs `body`, which uses this key. Its error becomes [`Error::OtherTpm`] if the cause is that
    /// the chip holds another key.
    pub(crate) fn within<T>(&self, body: impl FnOnce() -> Result<T>) -> Result<T> {
        body().map_err(|err| self.explain(err))
    }

    fn explain(&self, err: Error) -> Error {
        let may_be = matches!(
            err,
            Error::Integrity(_)
                | Error::Command { .. }
                | Error::AuthRejected { .. }
                | Error::Policy(_)
                | Error::NvMissing(_)
                | Error::Stale
                | Error::ReplyForged { .. }
        );
        // A proof costs two commands, so it is done only after errors that another chip would give.
        // A wrong PIN is not such an error.
        let doubtful = matches!(err, Error::Integrity(_) | Error::ReplyForged { .. });
        let checked = match may_be.then(|| self.is_claimed()) {
            Some(Ok(())) if doubtful => Some(self.prove()),
            checked => checked,
        };
        match checked {
            Some(Err(Error::OtherTpm)) => Error::OtherTpm,
            _ => err,
        }
    }

    /// Checks that the chip states to have the key. A key without a handle was compared when it was
    /// made.
    pub(crate) fn is_claimed(&self) -> Result<()> {
        let srk = self.srk;
        if self.primary.is_some() {
            return Ok(());
        }
        match primary::read_public(self.op, srk.handle, Exception::PinnedName) {
            Ok(Some((public, name))) if public == srk.public && name == srk.name => Ok(()),
            Ok(_) | Err(Error::ReplyForged { .. }) => Err(Error::OtherTpm),
            Err(err) => Err(err),
        }
    }

    /// Has the chip prove that it holds the private half.
    pub(crate) fn prove(&self) -> Result<()> {
        Session::proven(self.op, self).map(drop).map_err(not_held)
    }

    pub(crate) fn name(&self) -> &'op Name {
        &self.srk.name
    }

    /// The beginning of a command with the SRK as the parent of an object.
    ///
    /// An SRK has an empty authorization value, so the command gives it in the clear and a second
    /// session authenticates. (If the session authorized the SRK, an HMAC that was changed on its
    /// way would count towards the chip's lockout, if that protects the SRK.)
    pub(crate) fn parent_of(&self, code: CommandCode) -> Command<'_> {
        Command::new(code)
            .about(Entity::Srk)
            .handle(self.handle(), self.name())
            .empty_auth()
    }
}

impl SaltKey for OpenSrk<'_> {
    fn handle(&self) -> u32 {
        self.primary
            .as_ref()
            .map_or(self.srk.handle, SaltKey::handle)
    }

    fn salt(&self) -> Result<Salt> {
        crypto::salt_to(&self.srk.public)
    }
}

/// Turns the errors of a chip that lacks the key's private half into [`Error::OtherTpm`].
pub(crate) fn not_held(err: Error) -> Error {
    match err {
        Error::AuthRejected { .. } | Error::ReplyForged { .. } | Error::Command { .. } => {
            Error::OtherTpm
        }
        err => err,
    }
}

/// A proven session for the authorization value of a hierarchy.
///
/// It is salted to `srk`. If there is none, it is salted to a temporary storage key, which protects
/// the value only from an attacker who just listens, as on any first use.
pub(crate) fn session_for_hierarchy<'op>(
    op: &'op Operation<'op>,
    srk: Option<&Srk>,
) -> Result<Session<'op>> {
    match srk {
        Some(srk) => {
            let root = srk.open(op)?;
            root.within(|| Session::proven(op, &root))
        }
        None => {
            let root = primary::throw_away(op, &template::storage_root_key(storage_kind(op)?)?)?;
            Session::proven(op, &root)
        }
    }
}
