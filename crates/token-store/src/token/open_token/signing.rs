//! A signature: whether the key's owner allows it, and who pads it.

use tpm_core::{Capabilities, Operation, ReadyKey, Scheme, Signature};

use crate::{Key, Result};

/// A signature to be made.
pub(crate) struct Signing<'a> {
    scheme: Scheme,
    digest: &'a [u8],
    /// Whether the chip is known to lack the scheme, and the key can sign with padding made in software.
    pads_outside: bool,
}

impl<'a> Signing<'a> {
    /// A signature by `key`. `chip` is what is known of the chip.
    ///
    /// # Errors
    ///
    /// [`Error::KeyUse`](crate::Error::KeyUse) if the key's owner does not let it make such signatures.
    pub(crate) fn new(
        chip: Option<&Capabilities>,
        key: &Key,
        scheme: Scheme,
        digest: &'a [u8],
    ) -> Result<Self> {
        key.check_sign(scheme, digest.len())?;
        let lacks = match scheme {
            Scheme::RsaPkcs1(hash) | Scheme::RsaPss(hash) => {
                chip.is_some_and(|chip| !chip.has_hash(hash))
            }
            _ => false,
        };
        Ok(Self {
            scheme,
            digest,
            pads_outside: lacks && key.blob().usage().decrypt,
        })
    }

    pub(crate) fn run(&self, ready: &ReadyKey, op: &Operation<'_>) -> tpm_core::Result<Signature> {
        if self.pads_outside {
            ready.sign_padded_outside(op, self.scheme, self.digest)
        } else {
            ready.sign(op, self.scheme, self.digest)
        }
    }
}
