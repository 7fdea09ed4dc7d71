//! The arrival key: the parent of the keys of a token that were made outside of the chip.

use std::sync::Arc;

use crate::{
    Blob, Error, Name, PublicKey, Result,
    structures::template::{self, StorageKind},
};

/// A storage key below a [`TokenKey`](crate::TokenKey) that imports keys and loads them, and does
/// nothing else.
///
/// A private key that is wrapped for a storage key comes out again in the clear for whoever may
/// use that key for `TPM2_Rewrap`. The policy of an arrival key allows `TPM2_Import` and `TPM2_Load`
/// alone, so that what was wrapped for it stays shut. It has no PIN of its own: the token key,
/// which opens for the PIN, is its parent.
///
/// All arrival keys are alike but for their public key, so that one can be checked without its
/// token.
///
/// Cloning one is cheap: every key that is below it has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArrivalKey(Arc<Parts>);

#[derive(Debug, PartialEq, Eq)]
struct Parts {
    blob: Blob,
    name: Name,
}

impl ArrivalKey {
    /// An arrival key from its stored form; sends no command.
    ///
    /// # Errors
    ///
    /// [`Error::KeyRefused`] where the blob is anything but an arrival key;
    /// [`Error::Malformed`] where it is no key at all.
    pub fn from_blob(blob: Blob) -> Result<Self> {
        blob.check_private()?;
        let head = template::arrival_key_head(StorageKind::of_public(&blob.public))?;
        if !blob.public.starts_with(&head) {
            return Err(Error::KeyRefused("it is not an arrival key"));
        }
        PublicKey::from_public_area(&blob.public)?;
        let name = blob.name();
        Ok(Self(Arc::new(Parts { blob, name })))
    }

    /// The bytes to be stored.
    #[must_use]
    pub fn blob(&self) -> &Blob {
        &self.0.blob
    }

    /// Its Name.
    #[must_use]
    pub fn name(&self) -> &Name {
        &self.0.name
    }
}
