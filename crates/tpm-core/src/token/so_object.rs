//! The SO object: a sealed object whose authorization value is derived from the SO PIN.
//!
//! Its Name contains a random value that the chip made, so no second object has the same Name. A
//! policy with this Name is satisfied only with this blob and its authorization value. It seals the
//! [change guard's secret](crate::ChangeGuard), which the SO passes on when he sets the PIN of a
//! token that was made again.

use crate::{
    Blob, Entity, GuardAuth, Name, OpenSrk, Result, SoAuth,
    command::{
        Command, CommandCode,
        crypto::DIGEST,
        policy::no_command,
        session::{SaltKey, Session},
    },
    object::sealed::{self, Kind, Sealed},
    structures::template::Tries,
};

const KIND: Kind = Kind {
    entity: Entity::So,
    tries: Tries::Counted,
};

/// An SO object in its stored form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SoObject(Sealed);

impl SoObject {
    /// Makes one with the authorization value `auth` that seals `secret`. `secret` must not be
    /// empty, because a TPM seals no empty value.
    ///
    /// # Errors
    ///
    /// Failures of the chip; nothing stays in it.
    pub fn create(root: &OpenSrk<'_>, auth: &SoAuth, secret: &GuardAuth) -> Result<Self> {
        Sealed::create(root, KIND, auth.value(), secret.value().bytes()).map(Self)
    }

    /// An SO object from its stored form.
    ///
    /// # Errors
    ///
    /// [`Error::KeyRefused`](crate::Error::KeyRefused) or
    /// [`Error::Malformed`](crate::Error::Malformed) if it is not an SO object.
    pub fn from_blob(blob: Blob) -> Result<Self> {
        Sealed::from_blob(blob, KIND).map(Self)
    }

    /// The bytes to store.
    #[must_use]
    pub fn blob(&self) -> &Blob {
        self.0.blob()
    }

    /// Its Name, which stays the same when its authorization value changes.
    #[must_use]
    pub fn name(&self) -> &Name {
        self.0.name()
    }

    /// Checks that the chip loads it, which needs no SO PIN and costs no try.
    ///
    /// # Errors
    ///
    /// [`Error::Integrity`](crate::Error::Integrity) if it was changed;
    /// [`Error::OtherTpm`](crate::Error::OtherTpm).
    pub fn check(&self, root: &OpenSrk<'_>) -> Result<()> {
        self.0.check(root)
    }

    /// Proves that `auth` is its authorization value.
    ///
    /// # Errors
    ///
    /// [`Error::AuthRejected`](crate::Error::AuthRejected) if it is wrong, which the chip counts
    /// towards its lockout; [`Error::Lockout`](crate::Error::Lockout);
    /// [`Error::OtherTpm`](crate::Error::OtherTpm).
    pub fn verify(&self, root: &OpenSrk<'_>, auth: &SoAuth) -> Result<()> {
        root.within(|| {
            let policy = Session::unsalted_policy(root.op())?;
            self.prove_in(root, auth, &policy, &no_command())
        })
    }

    /// The secret that is sealed in it.
    ///
    /// # Errors
    ///
    /// As for [`SoObject::verify`].
    pub fn secret(&self, root: &OpenSrk<'_>, auth: &SoAuth) -> Result<GuardAuth> {
        root.within(|| {
            let session = Session::hmac(root.op(), root)?;
            let object = self.0.load(root, session.plain())?;
            let proof = session.authorizes(auth.value());
            sealed::unseal(root.op(), &object, Entity::So, proof).map(GuardAuth::from)
        })
    }

    /// Changes its authorization value. Returns the same object with a new private part.
    ///
    /// A copy of the old private part still works with the old value.
    ///
    /// # Errors
    ///
    /// As for [`SoObject::verify`].
    pub fn change_auth(&self, root: &OpenSrk<'_>, old: &SoAuth, new: &SoAuth) -> Result<Self> {
        root.within(|| {
            let session = Session::hmac(root.op(), root)?;
            let object = self.0.load(root, session.plain())?;
            let command = Command::new(CommandCode::ObjectChangeAuth)
                .about(Entity::So)
                .handle(object.handle(), object.name())
                .handle(root.handle(), root.name())
                .session(session.authorizes(old.value()).hide_command().last())
                .param_sized(new.value().bytes());
            let response = root.op().run(command)?;
            let private = response.reader().sized()?.to_vec();
            Self::from_blob(Blob {
                public: self.blob().public.clone(),
                private,
            })
        })
    }

    /// Runs `TPM2_PolicySecret` with this object in `policy`, only for the command with the hash
    /// `cp_hash`.
    pub(crate) fn prove_in<S>(
        &self,
        root: &OpenSrk<'_>,
        auth: &SoAuth,
        policy: &Session<'_, S>,
        cp_hash: &[u8; DIGEST],
    ) -> Result<()> {
        self.0.prove_in(root, auth.value(), policy, cp_hash)
    }
}
