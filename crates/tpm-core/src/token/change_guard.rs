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
    AuthValue, Blob, Name, Operation, Result, Srk,
    command::{crypto::DIGEST, session::Session},
    hierarchy::srk::OpenSrk,
    object::sealed::{self, Sealed},
    structures::template::Tries,
};

/// What errors call it.
const WORDS: &str = "change guard";

/// A change guard outside of the chip.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangeGuard(Sealed);

impl ChangeGuard {
    /// Makes one whose authorization value is `secret`, for which
    /// [`AuthValue::random`] is the right source: wrong ones are not counted.
    ///
    /// # Errors
    ///
    /// Failures of the chip; nothing stays in it.
    pub fn create(op: &Operation<'_>, srk: &Srk, secret: &AuthValue) -> Result<Self> {
        let parent = srk.open(op)?;
        let kind = (Tries::Uncounted, WORDS);
        Sealed::create(op, &parent, kind, secret, &*sealed::nothing()).map(Self)
    }

    /// A change guard from its stored form.
    ///
    /// # Errors
    ///
    /// [`Error::KeyRefused`](crate::Error::KeyRefused) or
    /// [`Error::Malformed`](crate::Error::Malformed) for anything but a change guard.
    pub fn from_blob(blob: Blob) -> Result<Self> {
        Sealed::from_blob(blob, Tries::Uncounted, WORDS).map(Self)
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
    /// [`Error::Integrity`](crate::Error::Integrity) where it was changed;
    /// [`Error::OtherTpm`](crate::Error::OtherTpm).
    pub fn check(&self, op: &Operation<'_>, srk: &Srk) -> Result<()> {
        let run = || self.0.check(op, &srk.open(op)?);
        run().map_err(|err| srk.explain(op, err))
    }

    /// Runs `TPM2_PolicySecret` with this object in `policy`, for the one command with the hash
    /// `cp_hash`.
    pub(crate) fn prove_in<S>(
        &self,
        op: &Operation<'_>,
        parent: &OpenSrk<'_>,
        secret: &AuthValue,
        policy: &Session<'_, S>,
        cp_hash: &[u8; DIGEST],
    ) -> Result<()> {
        self.0.prove_in(op, parent, secret, policy, cp_hash)
    }
}
