//! A key of the chip, and the permissions that its owner gave it.

use tpm_core::{KeyBlob, KeyType, Name, Origin, PublicKey, Scheme, Usage};

use super::{Mechanisms, Permissions, spki};
use crate::{Error, Result};

/// A key of the chip. It was compared with the keys that this crate makes or imports.
#[derive(Debug)]
pub struct Key {
    blob: KeyBlob,
    permissions: Permissions,
}

impl Key {
    /// A key from its blob and permissions.
    pub(crate) fn new(blob: KeyBlob, permissions: Permissions) -> Self {
        Self { blob, permissions }
    }

    /// The permissions that its owner gave it.
    #[must_use]
    pub fn permissions(&self) -> &Permissions {
        &self.permissions
    }

    /// Whether its owner lets it sign.
    #[must_use]
    pub fn signs(&self) -> bool {
        self.permissions.sign
    }

    /// Refuses a signature that its owner does not let it make, over a digest of so many bytes.
    ///
    /// # Errors
    ///
    /// [`Error::KeyUse`].
    pub fn check_sign(&self, scheme: Scheme, digest: usize) -> Result<()> {
        if !self.signs() {
            return Err(Error::KeyUse("is not for signing"));
        }
        self.check_mechanisms(|allowed| allowed.sign(scheme, digest))
    }

    /// Refuses RSA decryption if its owner does not allow it.
    ///
    /// # Errors
    ///
    /// [`Error::KeyUse`].
    pub fn check_decrypt(&self) -> Result<()> {
        if !self.usage().decrypt {
            return Err(Error::KeyUse("is not for decrypting"));
        }
        self.check_mechanisms(Mechanisms::decrypt)
    }

    /// Refuses an agreement on a secret (ECDH) if its owner does not allow it.
    ///
    /// # Errors
    ///
    /// [`Error::KeyUse`].
    pub fn check_agree(&self) -> Result<()> {
        if !self.usage().decrypt {
            return Err(Error::KeyUse("is not for deriving keys"));
        }
        self.check_mechanisms(Mechanisms::agree)
    }

    fn check_mechanisms(&self, allow: impl FnOnce(&Mechanisms) -> bool) -> Result<()> {
        match &self.permissions.mechanisms {
            Some(allowed) if !allow(allowed) => Err(Error::KeyUse(
                "may not be used in this way: its list of allowed mechanisms says so",
            )),
            _ => Ok(()),
        }
    }

    /// The blob.
    #[must_use]
    pub fn blob(&self) -> &KeyBlob {
        &self.blob
    }

    /// The public key.
    #[must_use]
    pub fn public(&self) -> &PublicKey {
        self.blob.public()
    }

    /// Its Name in the chip.
    #[must_use]
    pub fn name(&self) -> &Name {
        self.blob.name()
    }

    /// Its origin, as its public area says and the chip enforces.
    #[must_use]
    pub fn origin(&self) -> Origin {
        self.blob.origin()
    }

    /// Algorithm and size.
    #[must_use]
    pub fn key_type(&self) -> KeyType {
        self.blob.key_type()
    }

    /// The uses that its owner allows besides signing. The chip may allow more ([`KeyBlob::usage`]):
    /// padding SHA-512 signatures in software needs an RSA key that may decrypt.
    #[must_use]
    pub fn usage(&self) -> Usage {
        // The chip's attribute is the limit, whatever the store says.
        let able = self.blob.usage().decrypt;
        Usage::sign_and(able && self.permissions.decrypt.unwrap_or(able))
    }

    /// Whether each use asks for the PIN again.
    #[must_use]
    pub fn always_authenticate(&self) -> bool {
        self.permissions.always_authenticate
    }

    /// The SubjectPublicKeyInfo, DER.
    #[must_use]
    pub fn spki(&self) -> Vec<u8> {
        spki::encode(self.public())
    }
}
