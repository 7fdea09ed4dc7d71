//! The change guard: an object that prevents guesses of a PIN by changing it.
//!
//! A chip checks the limit of a PIN counter when `TPM2_PolicySecret` uses its authorization value,
//! but not when `TPM2_NV_ChangeAuth` replaces the value under a policy with `TPM2_PolicyAuthValue`
//! (libtpms 0.9.2). A thief with a program of his own could try any number of PINs with that
//! command. So this branch of the counter's policy needs a second authorization value, that of the
//! change guard. It is a random secret, which is sealed twice: below the token key
//! ([`TokenKey::seal`](crate::TokenKey::seal)), which opens only after the counter has checked the
//! PIN, and in the SO object.

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

/// A change guard in its stored form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangeGuard(Sealed);

impl ChangeGuard {
    /// Makes one with the authorization value `secret`. Use [`GuardAuth::random`]: the chip does
    /// not count wrong ones, so it must not be guessable.
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
    /// [`Error::Malformed`](crate::Error::Malformed) if it is not a change guard.
    pub fn from_blob(blob: Blob) -> Result<Self> {
        Sealed::from_blob(blob, KIND).map(Self)
    }

    /// The bytes to store.
    #[must_use]
    pub fn blob(&self) -> &Blob {
        self.0.blob()
    }

    /// Its Name, which a PIN counter's policy holds.
    #[must_use]
    pub fn name(&self) -> &Name {
        self.0.name()
    }

    /// Checks that the chip loads it, which needs no secret.
    ///
    /// # Errors
    ///
    /// [`Error::Integrity`](crate::Error::Integrity) if it was changed;
    /// [`Error::OtherTpm`](crate::Error::OtherTpm).
    pub fn check(&self, root: &OpenSrk<'_>) -> Result<()> {
        self.0.check(root)
    }

    /// Runs `TPM2_PolicySecret` with this object in `policy`, only for the command with the hash
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
