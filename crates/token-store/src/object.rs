//! Objects: key pairs, public keys, certificates and data, with their attributes.

use std::sync::Arc;

use tpm_core::{Blob, KeyBlob, KeyType, Name, PublicKey, Usage};

use crate::{Error, Result, TokenId};

mod key_spec;
mod read;
mod spki;
mod write;

pub use key_spec::{KeyPair, KeySpec};

/// The longest label of an object, in bytes.
pub const MAX_LABEL_LEN: usize = 128;
/// The longest `CKA_ID`, in bytes: as much as common readers have room for.
pub const MAX_ID_LEN: usize = 128;
/// The longest certificate or data value, and other variable attribute, in bytes.
pub const MAX_VALUE_LEN: usize = 64 * 1024;

/// An object's number in its store; never used again after the object is deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectId(pub(crate) i64);

impl ObjectId {
    /// The number.
    #[must_use]
    pub fn get(self) -> i64 {
        self.0
    }
}

/// What an object is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Class {
    /// The private half of a key pair.
    PrivateKey,
    /// The public half of a key pair, or a public key that was added.
    PublicKey,
    /// An X.509 certificate.
    Certificate,
    /// Data.
    Data,
}

/// An object of a token.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Object {
    /// Its number in this store.
    pub id: ObjectId,
    /// Whose it is.
    pub token: TokenId,
    /// `CKA_LABEL`; at most [`MAX_LABEL_LEN`] bytes, may be empty.
    pub label: String,
    /// `CKA_ID`; at most [`MAX_ID_LEN`] bytes, may be empty.
    pub cka_id: Vec<u8>,
    /// Whether it shows only after login.
    pub private: bool,
    /// The rest, which differs by class.
    pub body: Body,
}

/// What an object holds besides its label, id and visibility.
#[derive(Debug, Clone)]
pub enum Body {
    /// The private half of a key pair.
    PrivateKey {
        /// The key pair.
        key: Arc<Key>,
        /// `CKA_SUBJECT`.
        subject: Vec<u8>,
    },
    /// A public key.
    PublicKey {
        /// The key pair whose half this is; `None` for a public key that was added.
        key: Option<Arc<Key>>,
        /// The public key.
        public: PublicKey,
        /// `CKA_SUBJECT`.
        subject: Vec<u8>,
    },
    /// An X.509 certificate; the attributes are kept as they were given.
    Certificate {
        /// The certificate, DER.
        value: Vec<u8>,
        /// `CKA_SUBJECT`, DER.
        subject: Vec<u8>,
        /// `CKA_ISSUER`, DER.
        issuer: Vec<u8>,
        /// `CKA_SERIAL_NUMBER`, DER.
        serial_number: Vec<u8>,
    },
    /// Data.
    Data {
        /// The value.
        value: Vec<u8>,
        /// `CKA_APPLICATION`.
        application: String,
        /// `CKA_OBJECT_ID`, DER.
        object_id: Vec<u8>,
    },
}

impl Object {
    /// What it is.
    #[must_use]
    pub fn class(&self) -> Class {
        match self.body {
            Body::PrivateKey { .. } => Class::PrivateKey,
            Body::PublicKey { .. } => Class::PublicKey,
            Body::Certificate { .. } => Class::Certificate,
            Body::Data { .. } => Class::Data,
        }
    }

    /// The key pair whose half this is.
    #[must_use]
    pub fn key(&self) -> Option<&Arc<Key>> {
        match &self.body {
            Body::PrivateKey { key, .. } => Some(key),
            Body::PublicKey { key, .. } => key.as_ref(),
            Body::Certificate { .. } | Body::Data { .. } => None,
        }
    }

    /// The public key, of either half of a key pair or of an added public key.
    #[must_use]
    pub fn public_key(&self) -> Option<&PublicKey> {
        match &self.body {
            Body::PrivateKey { key, .. } => Some(key.public()),
            Body::PublicKey { public, .. } => Some(public),
            Body::Certificate { .. } | Body::Data { .. } => None,
        }
    }
}

/// A key that lives in the chip; checked to be one that this crate makes.
#[derive(Debug)]
pub struct Key {
    blob: KeyBlob,
    usage: Usage,
    always_authenticate: bool,
}

impl Key {
    /// A key from its blob, and whether its owner lets it decrypt or derive; where nobody
    /// noted that, the chip's attribute says it.
    ///
    /// # Errors
    ///
    /// [`Error::KeyRefused`] if it is not one that this crate makes.
    pub(crate) fn parse(
        blob: Blob,
        decrypts: Option<bool>,
        always_authenticate: bool,
    ) -> Result<Self> {
        let blob = KeyBlob::parse(blob)?;
        // The chip's attribute is the limit, whatever the store says.
        let able = blob.usage().decrypt;
        let usage = Usage::sign_and(able && decrypts.unwrap_or(able));
        Ok(Self {
            blob,
            usage,
            always_authenticate,
        })
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

    /// The Name by which the chip knows it.
    #[must_use]
    pub fn name(&self) -> &Name {
        self.blob.name()
    }

    /// Algorithm and size.
    #[must_use]
    pub fn key_type(&self) -> KeyType {
        self.blob.key_type()
    }

    /// What else than signing its owner lets it do. The chip may be able to do more with it
    /// ([`KeyBlob::usage`]): RSA keys of a chip without SHA-512 are padded outside.
    #[must_use]
    pub fn usage(&self) -> Usage {
        self.usage
    }

    /// Whether each use is to ask for the PIN again.
    #[must_use]
    pub fn always_authenticate(&self) -> bool {
        self.always_authenticate
    }

    /// The SubjectPublicKeyInfo, DER.
    #[must_use]
    pub fn spki(&self) -> Vec<u8> {
        spki::encode(self.public())
    }
}

/// The SubjectPublicKeyInfo of a public key, DER: `CKA_PUBLIC_KEY_INFO`.
#[must_use]
pub fn public_key_info(key: &PublicKey) -> Vec<u8> {
    spki::encode(key)
}

/// The `CKA_ID` that a key gets where none is asked for: SHA-1 of its SubjectPublicKeyInfo.
#[must_use]
pub fn default_id(key: &PublicKey) -> Vec<u8> {
    use sha1::{Digest, Sha1};
    Sha1::digest(spki::encode(key)).to_vec()
}

/// An X.509 certificate to be added.
#[derive(Debug, Clone, Default)]
pub struct NewCertificate {
    /// `CKA_LABEL`.
    pub label: String,
    /// `CKA_ID`.
    pub cka_id: Vec<u8>,
    /// Whether it is to show only after login.
    pub private: bool,
    /// The certificate, DER; not empty.
    pub value: Vec<u8>,
    /// `CKA_SUBJECT`, DER; not empty.
    pub subject: Vec<u8>,
    /// `CKA_ISSUER`, DER.
    pub issuer: Vec<u8>,
    /// `CKA_SERIAL_NUMBER`, DER.
    pub serial_number: Vec<u8>,
}

/// A public key to be added, whose private half is elsewhere.
#[derive(Debug, Clone)]
pub struct NewPublicKey {
    /// `CKA_LABEL`.
    pub label: String,
    /// `CKA_ID`.
    pub cka_id: Vec<u8>,
    /// Whether it is to show only after login.
    pub private: bool,
    /// `CKA_SUBJECT`, DER.
    pub subject: Vec<u8>,
    /// The key.
    pub public: PublicKey,
}

/// Data to be added.
#[derive(Debug, Clone, Default)]
pub struct NewData {
    /// `CKA_LABEL`.
    pub label: String,
    /// Whether it is to show only after login.
    pub private: bool,
    /// `CKA_APPLICATION`.
    pub application: String,
    /// `CKA_OBJECT_ID`, DER.
    pub object_id: Vec<u8>,
    /// The value.
    pub value: Vec<u8>,
}

/// A key of the store that is not one that this crate makes, and is hidden for it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RefusedKey {
    /// The label of the private key object.
    pub label: String,
    /// Its `CKA_ID`.
    pub cka_id: Vec<u8>,
    /// What is wrong with it.
    pub reason: String,
}

/// A label that a new object can have. A line feed in it would make two lines of one key in
/// `ssh-keygen -D`. Older stores can hold such labels, so reading an object allows them.
pub(crate) fn check_label(label: &str) -> Result<()> {
    check_text("label", label, MAX_LABEL_LEN)?;
    if label.chars().any(char::is_control) {
        return Err(Error::Invalid {
            what: "label",
            why: "it has control characters",
        });
    }
    Ok(())
}

/// Text that can be kept as `what`.
pub(crate) fn check_text(what: &'static str, text: &str, max: usize) -> Result<()> {
    if text.contains('\0') {
        return Err(Error::Invalid {
            what,
            why: "it has a NUL",
        });
    }
    check_len(what, text.as_bytes(), max)
}

/// Bytes that can be kept as `what`.
pub(crate) fn check_len(what: &'static str, bytes: &[u8], max: usize) -> Result<()> {
    if bytes.len() > max {
        return Err(Error::TooLong { what, max });
    }
    Ok(())
}
