//! The check that every signature passes before it is released.

#[cfg(feature = "fast-verify")]
mod prepared;

use std::fmt;

use crate::{PublicKey, Scheme, Signature};

/// A public key that checks what its private half has signed.
///
/// With the feature `fast-verify` it keeps tables for a key that signs more than once.
pub(crate) struct Verifier {
    public: PublicKey,
    #[cfg(feature = "fast-verify")]
    fast: prepared::Fast,
}

impl Verifier {
    pub(crate) fn new(public: PublicKey) -> Self {
        Self {
            public,
            #[cfg(feature = "fast-verify")]
            fast: prepared::Fast::default(),
        }
    }

    /// The key.
    pub(crate) fn public(&self) -> &PublicKey {
        &self.public
    }

    /// As [`PublicKey::verify`].
    pub(crate) fn verify(&self, scheme: Scheme, digest: &[u8], signature: &Signature) -> bool {
        #[cfg(feature = "fast-verify")]
        if self.fast.accepts(&self.public, scheme, digest, signature) {
            return true;
        }
        // The tables can only accept: what they refuse is checked in the plain way.
        self.public.verify(scheme, digest, signature)
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Verifier").field(&self.public).finish()
    }
}
