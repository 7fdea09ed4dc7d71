//! The SO object: sealed bytes whose authorization value is the SO PIN.
//!
//! Its Name holds randomness made by the chip and so cannot be made again: a policy that names
//! it can be satisfied by nobody who lacks this very blob and its authorization value. What it
//! seals is the [change secret](crate::ChangeGuard), so that the SO can hand it on.

use crate::{
    AuthValue, Blob, Name, Operation, Result, Srk,
    command::{
        Code, Command,
        crypto::DIGEST,
        policy::no_command,
        session::{SaltKey, Session},
    },
    hierarchy::srk::OpenSrk,
    object::sealed::{self, Sealed},
    structures::template::Tries,
};

/// What errors call it.
pub(crate) const WORDS: &str = "SO PIN";

/// An SO object outside of the chip.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SoObject(Sealed);

impl SoObject {
    /// Makes one whose authorization value is `auth` and that seals `secret`, which must not
    /// be empty: a TPM seals no empty value.
    ///
    /// # Errors
    ///
    /// Failures of the chip; nothing stays in it.
    pub fn create(
        op: &Operation<'_>,
        srk: &Srk,
        auth: &AuthValue,
        secret: &AuthValue,
    ) -> Result<Self> {
        let parent = srk.open(op)?;
        let kind = (Tries::Counted, WORDS);
        Sealed::create(op, &parent, kind, auth, secret.bytes()).map(Self)
    }

    /// An SO object from its stored form.
    ///
    /// # Errors
    ///
    /// [`Error::KeyRefused`](crate::Error::KeyRefused) or
    /// [`Error::Malformed`](crate::Error::Malformed) for anything but an SO object.
    pub fn from_blob(blob: Blob) -> Result<Self> {
        Sealed::from_blob(blob, Tries::Counted, WORDS).map(Self)
    }

    /// The bytes to be stored.
    #[must_use]
    pub fn blob(&self) -> &Blob {
        self.0.blob()
    }

    /// Its Name, which stays the same when its authorization value changes.
    #[must_use]
    pub fn name(&self) -> &Name {
        self.0.name()
    }

    /// Checks that the chip takes it, which needs no SO PIN and costs no try.
    ///
    /// # Errors
    ///
    /// [`Error::Integrity`](crate::Error::Integrity) where it was changed;
    /// [`Error::OtherTpm`](crate::Error::OtherTpm).
    pub fn check(&self, op: &Operation<'_>, srk: &Srk) -> Result<()> {
        let run = || self.0.check(op, &srk.open(op)?);
        run().map_err(|err| srk.explain(op, err))
    }

    /// Proves that `auth` is its authorization value.
    ///
    /// # Errors
    ///
    /// [`Error::AuthRejected`](crate::Error::AuthRejected) for a wrong one, which the chip
    /// counts towards its lockout; [`Error::Lockout`](crate::Error::Lockout);
    /// [`Error::OtherTpm`](crate::Error::OtherTpm).
    pub fn verify(&self, op: &Operation<'_>, srk: &Srk, auth: &AuthValue) -> Result<()> {
        let run = || {
            let parent = srk.open(op)?;
            let policy = Session::unsalted_policy(op)?;
            self.prove_in(op, &parent, auth, &policy, &no_command())
        };
        run().map_err(|err| srk.explain(op, err))
    }

    /// The secret that it seals.
    ///
    /// # Errors
    ///
    /// As for [`SoObject::verify`].
    pub fn secret(&self, op: &Operation<'_>, srk: &Srk, auth: &AuthValue) -> Result<AuthValue> {
        let run = || {
            let parent = srk.open(op)?;
            let session = Session::hmac(op, &parent)?;
            let object = self.0.load(op, &parent, session.plain())?;
            sealed::unseal(op, &object, WORDS, session.authorizes(auth))
        };
        run().map_err(|err| srk.explain(op, err))
    }

    /// Gives it another authorization value: the same object, with a new private part.
    ///
    /// An old copy of the private part keeps answering to the old value.
    ///
    /// # Errors
    ///
    /// As for [`SoObject::verify`].
    pub fn change_auth(
        &self,
        op: &Operation<'_>,
        srk: &Srk,
        old: &AuthValue,
        new: &AuthValue,
    ) -> Result<Self> {
        let run = || {
            let parent = srk.open(op)?;
            let session = Session::hmac(op, &parent)?;
            let object = self.0.load(op, &parent, session.plain())?;
            let command = Command::new(Code::ObjectChangeAuth)
                .about(WORDS)
                .handle(object.handle(), object.name())
                .handle(parent.handle(), parent.name())
                .session(session.authorizes(old).hide_command().last())
                .param_sized(new.bytes());
            let response = op.run(command)?;
            let private = response.reader().sized()?.to_vec();
            Self::from_blob(Blob {
                public: self.blob().public.clone(),
                private,
            })
        };
        run().map_err(|err| srk.explain(op, err))
    }

    /// Runs `TPM2_PolicySecret` with this object in `policy`, for the one command with the hash
    /// `cp_hash`.
    pub(crate) fn prove_in<S>(
        &self,
        op: &Operation<'_>,
        parent: &OpenSrk<'_>,
        auth: &AuthValue,
        policy: &Session<'_, S>,
        cp_hash: &[u8; DIGEST],
    ) -> Result<()> {
        self.0.prove_in(op, parent, auth, policy, cp_hash)
    }
}
