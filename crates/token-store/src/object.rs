//! Objects: key pairs, public keys, certificates and data, with their attributes.

use std::sync::Arc;

use tpm_core::{KeyBlob, KeyType, Name, Origin, PublicKey, Scheme, Usage};

use crate::{Error, Result, TokenId};

mod arrival;
mod attributes;
mod changes;
mod key_spec;
mod permissions;
mod read;
mod spki;
mod twin;
mod write;

pub use attributes::Attributes;
pub use changes::ObjectChange;
pub use key_spec::{Half, KeyPair, KeySpec};
pub use permissions::{Mechanisms, Permissions};

/// The longest label of an object, in bytes.
pub const MAX_LABEL_LEN: usize = 128;
/// The longest `CKA_ID`, in bytes, which common PKCS#11 programs have room for.
pub const MAX_ID_LEN: usize = 128;
/// The longest certificate or data value, and other variable attribute, in bytes.
pub const MAX_VALUE_LEN: usize = 64 * 1024;

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
    /// `CKA_LABEL`; at most [`MAX_LABEL_LEN`] bytes, may be empty.
    pub label: String,
    /// `CKA_ID`; at most [`MAX_ID_LEN`] bytes, may be empty.
    pub cka_id: Vec<u8>,
    /// Whether it is visible only after login.
    pub private: bool,
    /// When its key pair was made in the TPM or imported, in seconds since 1970 by the clock of the
    /// machine; `None` if it belongs to no key pair.
    pub key_created: Option<u64>,
    /// What else a caller of PKCS#11 said of it.
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

/// A key of the chip. It was compared with the keys that this crate makes or imports.
#[derive(Debug)]
pub struct Key {
    blob: KeyBlob,
    permissions: Permissions,
}

impl Key {
    /// A key from its blob, and what its owner lets it do.
    pub(crate) fn new(blob: KeyBlob, permissions: Permissions) -> Self {
        Self { blob, permissions }
    }

    /// What its owner lets it do.
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

    /// Refuses RSA decryption where its owner does not let it decrypt.
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

    /// Refuses an agreement on a secret (ECDH) where its owner does not let it derive keys.
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

    /// Where it was made, as its public area says and the chip enforces.
    #[must_use]
    pub fn origin(&self) -> Origin {
        self.blob.origin()
    }

    /// Algorithm and size.
    #[must_use]
    pub fn key_type(&self) -> KeyType {
        self.blob.key_type()
    }

    /// What its owner lets it do besides signing. The chip may allow more ([`KeyBlob::usage`]):
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

/// The SubjectPublicKeyInfo of a public key, DER: `CKA_PUBLIC_KEY_INFO`.
#[must_use]
pub fn public_key_info(key: &PublicKey) -> Vec<u8> {
    spki::encode(key)
}

/// The default `CKA_ID` of a key, 20 bytes: SHA-1 of its subjectPublicKey, without tag, length and
/// count of unused bits. Certificates have it as their subject key identifier.
///
/// # Source
///
/// RFC 5280, section 4.2.1.2, method (1).
#[must_use]
pub fn default_id(key: &PublicKey) -> Vec<u8> {
    use sha1::{Digest, Sha1};
    Sha1::digest(spki::subject_public_key(key)).to_vec()
}

/// A new X.509 certificate.
#[derive(Debug, Clone, Default)]
pub struct NewCertificate {
    /// `CKA_LABEL`.
    pub label: String,
    /// `CKA_ID`.
    pub cka_id: Vec<u8>,
    /// Whether it will be visible only after login.
    pub private: bool,
    /// Attributes that are kept as they are.
    pub attributes: Attributes,
    /// The certificate, DER; not empty.
    pub value: Vec<u8>,
    /// `CKA_SUBJECT`, DER; not empty.
    pub subject: Vec<u8>,
    /// `CKA_ISSUER`, DER.
    pub issuer: Vec<u8>,
    /// `CKA_SERIAL_NUMBER`, DER.
    pub serial_number: Vec<u8>,
}

/// A new public key whose private half is not in the token.
#[derive(Debug, Clone)]
pub struct NewPublicKey {
    /// `CKA_LABEL`.
    pub label: String,
    /// `CKA_ID`.
    pub cka_id: Vec<u8>,
    /// Whether it is to show only after login.
    pub private: bool,
    /// Attributes that are kept as they are.
    pub attributes: Attributes,
    /// `CKA_SUBJECT`, DER.
    pub subject: Vec<u8>,
    /// The key.
    pub public: PublicKey,
}

/// A new data object.
#[derive(Debug, Clone, Default)]
pub struct NewData {
    /// `CKA_LABEL`.
    pub label: String,
    /// Whether it is to show only after login.
    pub private: bool,
    /// Attributes that are kept as they are.
    pub attributes: Attributes,
    /// `CKA_APPLICATION`.
    pub application: String,
    /// `CKA_OBJECT_ID`, DER.
    pub object_id: Vec<u8>,
    /// The value.
    pub value: Vec<u8>,
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

/// Refuses a label that a new object cannot have. A line feed in a label would split a key into two
/// lines in `ssh-keygen -D`. Older stores can have such labels, so reading an object allows them.
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

/// Refuses a text that cannot be stored as `what`.
pub(crate) fn check_text(what: &'static str, text: &str, max: usize) -> Result<()> {
    if text.contains('\0') {
        return Err(Error::Invalid {
            what,
            why: "it has a NUL",
        });
    }
    check_len(what, text.as_bytes(), max)
}

/// Refuses bytes that cannot be stored as `what`.
pub(crate) fn check_len(what: &'static str, bytes: &[u8], max: usize) -> Result<()> {
    if bytes.len() > max {
        return Err(Error::TooLong { what, max });
    }
    Ok(())
}
