//! Decrypting, in the chip.

use std::sync::Arc;

use token_store::{Key, OpenToken};
use zeroize::Zeroizing;

use super::{enciphering::Enciphering, input::signature_size};
use crate::{
    error::{Error, Result},
    mechanism::Mechanism,
};

/// A decryption that was begun.
#[derive(Clone)]
pub(crate) struct Decryption {
    key: Arc<Key>,
    how: Enciphering,
    /// Whether the PIN was given for this decryption.
    pub(crate) authenticated: bool,
}

impl Decryption {
    pub(crate) fn new(mechanism: Mechanism, key: Arc<Key>) -> Result<Self> {
        let how = Enciphering::new(mechanism)?;
        if !key.key_type().is_rsa() {
            return Err(Error::KeyTypeInconsistent);
        }
        Ok(Self {
            key,
            how,
            authenticated: false,
        })
    }

    pub(crate) fn key(&self) -> &Key {
        &self.key
    }

    /// The length of the longest message.
    pub(crate) fn max_size(&self) -> usize {
        self.how.longest(signature_size(self.key.public()))
    }

    /// Decrypts, in the chip. Input of a wrong length never reaches the chip.
    pub(crate) fn finish(&self, token: &OpenToken, data: &[u8]) -> Result<Vec<u8>> {
        if data.len() != signature_size(self.key.public()) {
            return Err(Error::EncryptedDataLenRange);
        }
        let block = token.rsa_raw(&self.key, data).map_err(|err| match err {
            token_store::Error::Tpm(tpm_core::Error::Malformed(_)) => Error::EncryptedDataInvalid,
            err => err.into(),
        })?;
        let block = Zeroizing::new(block);
        let message = self.how.unpad(&block);
        message.ok_or(Error::EncryptedDataInvalid)
    }
}
