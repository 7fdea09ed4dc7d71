//! Objects as the store has them.

use std::sync::Arc;

use tpm_core::PublicKey;

use super::{Attributes, Key};
use crate::TokenId;

/// An object's number in its store. It is not used again after the object is deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectId(pub(crate) i64);

impl ObjectId {
    /// The number.
    #[must_use]
    pub fn get(self) -> i64 {
        self.0
    }
}

/// The class of an object.
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
    /// The token that it belongs to.
    pub token: TokenId,
    /// `CKA_LABEL`; at most [`MAX_LABEL_LEN`](super::MAX_LABEL_LEN) bytes, may be empty.
    pub label: String,
    /// `CKA_ID`; at most [`MAX_ID_LEN`](super::MAX_ID_LEN) bytes, may be empty.
    pub cka_id: Vec<u8>,
    /// Whether it is visible only after login.
    pub private: bool,
    /// When its key pair was made in the TPM or imported, in seconds since 1970 by the clock of the
    /// machine; `None` if it belongs to no key pair.
    pub key_created: Option<u64>,
    /// Other attributes that PKCS#11 callers set.
    pub attributes: Attributes,
    /// The rest, which differs by class.
    pub body: Body,
}

/// The attributes of an object besides its label, id and visibility.
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
        /// The key pair that it belongs to; `None` for a public key that was added.
        key: Option<Arc<Key>>,
        /// The public key.
        public: PublicKey,
        /// `CKA_SUBJECT`.
        subject: Vec<u8>,
    },
    /// An X.509 certificate; the attributes are stored as they were given.
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
    /// Its class.
    #[must_use]
    pub fn class(&self) -> Class {
        match self.body {
            Body::PrivateKey { .. } => Class::PrivateKey,
            Body::PublicKey { .. } => Class::PublicKey,
            Body::Certificate { .. } => Class::Certificate,
            Body::Data { .. } => Class::Data,
        }
    }

    /// The key pair that it belongs to.
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

/// A key in the store that differs from those that this crate makes, and is therefore hidden.
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
