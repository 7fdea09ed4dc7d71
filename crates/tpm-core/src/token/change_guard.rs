//! The change guard: what keeps a PIN from being guessed by changing it.
//!
//! A chip checks the limit of a PIN counter when its authorization value proves something,
//! but not when `TPM2_NV_ChangeAuth` replaces it under a policy with `TPM2_PolicyAuthValue`
//! (libtpms 0.9.2). Left at that, a thief with a program of his own could try PINs there
//! without end. So that branch of the counter's policy asks for one more proof: of this
//! object, whose authorization value is a random secret. The secret is sealed below the token
//! key ([`TokenKey::seal`](crate::TokenKey::seal)), which opens only for a PIN that the counter
//! has checked, and in the SO object.

use crate::{
    Blob, Entity, GuardAuth, Name, OpenSrk, Result,
    command::{crypto::DIGEST, session::Session},
    object::sealed::{self, Kind, Sealed},
    structures::template::Tries,
};

const KIND: Kind = Kind {
    entity: Entity::ChangeGuard,
    tries: Tries::Uncounted,
};

/// A change guard outside of the chip.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangeGuard(Sealed);

impl ChangeGuard {
    /// Makes one whose authorization value is `secret`, for which
    /// [`GuardAuth::random`] is the right source: wrong ones are not counted.
    ///
    /// # Errors
    ///
    /// Failures of the chip; nothing stays in it.
    pub fn create(root: &OpenSrk<'_>, secret: &GuardAuth) -> Result<Self> {
        Sealed::create(root, KIND, secret.value(), &*sealed::nothing()).map(Self)
    }

    /// A change guard from its stored form.
    ///
    /// # Errors
    ///
    /// [`Error::KeyRefused`](crate::Error::KeyRefused) or
    /// [`Error::Malformed`](crate::Error::Malformed) for anything but a change guard.
    pub fn from_blob(blob: Blob) -> Result<Self> {
        Sealed::from_blob(blob, KIND).map(Self)
    }

    /// The bytes to be stored.
    #[must_use]
    pub fn blob(&self) -> &Blob {
        self.0.blob()
    }

    /// Its Name, which a PIN counter's policy holds.
    #[must_use]
    pub fn name(&self) -> &Name {
        self.0.name()
    }

    /// Checks that the chip takes it, which needs no secret.
    ///
    /// # Errors
    ///
    /// [`Error::Integrity`](crate::Error::Integrity) if it was changed;
    /// [`Error::OtherTpm`](crate::Error::OtherTpm).
    pub fn check(&self, root: &OpenSrk<'_>) -> Result<()> {
        self.0.check(root)
    }

    /// Runs `TPM2_PolicySecret` with this object in `policy`, for the one command with the hash
    /// `cp_hash`.
    pub(crate) fn prove_in<S>(
        &self,
        root: &OpenSrk<'_>,
        secret: &GuardAuth,
        policy: &Session<'_, S>,
        cp_hash: &[u8; DIGEST],
    ) -> Result<()> {
        self.0.prove_in(root, secret.value(), policy, cp_hash)
    }
}
