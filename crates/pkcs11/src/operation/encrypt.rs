//! Encrypting, outside of the chip: it needs only a public key.

use tpm_core::PublicKey;

use super::{enciphering::Enciphering, input::signature_size};
use crate::{
    error::{Error, Result},
    mechanism::Mechanism,
};

/// An encryption that was begun.
pub(crate) struct Encryption {
    public: PublicKey,
    how: Enciphering,
}

impl Encryption {
    pub(crate) fn new(mechanism: Mechanism, public: PublicKey) -> Result<Self> {
        let how = Enciphering::new(mechanism)?;
        match public {
            PublicKey::Rsa { .. } => Ok(Self { public, how }),
            PublicKey::Ecc { .. } => Err(Error::KeyTypeInconsistent),
        }
    }

    /// The length of the result.
    pub(crate) fn size(&self) -> usize {
        signature_size(&self.public)
    }

    /// Encrypts.
    pub(crate) fn finish(self, message: &[u8]) -> Result<Vec<u8>> {
        let block = self.how.pad(message, self.size());
        let block = zeroize::Zeroizing::new(block.ok_or(Error::DataLenRange)?);
        self.public.rsa_raw(&block).ok_or(Error::DataInvalid)
    }
}
