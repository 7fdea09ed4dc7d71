//! The arrival key: the parent of the keys of a token that were made outside of the chip.

use std::sync::Arc;

use crate::{
    Blob, Error, Name, PublicKey, Result,
    structures::template::{self, StorageKind},
};

/// A storage key below a [`TokenKey`](crate::TokenKey) that imports keys and loads them, and does
/// nothing else.
///
/// `TPM2_Rewrap` with a storage key returns a private key that was wrapped for it in the clear. The
/// policy of an arrival key allows only `TPM2_Import` and `TPM2_Load`, so nobody can do that. It has
/// no PIN of its own: its parent, the token key, needs the PIN.
///
/// Arrival keys differ only in their public key, so one can be checked without its token.
///
/// A clone is cheap: every imported key holds one.
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
    /// [`Error::KeyRefused`] if the blob is not an arrival key; [`Error::Malformed`] if it is not a
    /// key.
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
