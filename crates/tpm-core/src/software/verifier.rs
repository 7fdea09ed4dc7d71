//! The check of each signature before it is returned.

#[cfg(feature = "fast-verify")]
mod prepared;

use std::fmt;

use crate::{PublicKey, Scheme, Signature};

/// A public key that verifies signatures of its private half.
///
/// With the feature `fast-verify` it builds tables at the second signature, and later checks are
/// faster.
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
        // The tables can only accept. A signature that they do not accept gets the plain check.
        self.public.verify(scheme, digest, signature)
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Verifier").field(&self.public).finish()
    }
}
