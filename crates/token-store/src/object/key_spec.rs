//! New key pairs.

use tpm_core::{KeyType, Usage};

use super::{MAX_ID_LEN, MAX_VALUE_LEN, Object, check_label, check_len};
use crate::Result;

/// The attributes of a new key pair.
#[derive(Debug, Clone)]
pub struct KeySpec {
    /// Algorithm and size.
    pub key_type: KeyType,
    /// What the private key may do besides signing. This is the owner's choice; in the chip every
    /// RSA key may also decrypt, because padding SHA-512 signatures in software needs that.
    pub usage: Usage,
    /// `CKA_LABEL` of both halves; at most 128 bytes.
    pub label: String,
    /// `CKA_ID` of both halves; if `None`, the SHA-1 of the SubjectPublicKeyInfo.
    pub id: Option<Vec<u8>>,
    /// `CKA_SUBJECT` of both halves: a DER name, may be empty.
    pub subject: Vec<u8>,
    /// Whether each use of the private key asks for the PIN again. The chip does not enforce
    /// this; the callers of this crate do.
    pub always_authenticate: bool,
}

impl KeySpec {
    /// A key that only signs, with the default id.
    #[must_use]
    pub fn new(key_type: KeyType, label: impl Into<String>) -> Self {
        Self {
            key_type,
            usage: Usage::SIGN,
            label: label.into(),
            id: None,
            subject: Vec::new(),
            always_authenticate: false,
        }
    }

    /// Refuses a label, id or subject that cannot be stored.
    pub(crate) fn check(&self) -> Result<()> {
        check_label(&self.label)?;
        check_len("id", self.id.as_deref().unwrap_or_default(), MAX_ID_LEN)?;
        check_len("subject", &self.subject, MAX_VALUE_LEN)
    }
}

/// The two objects of a new key pair.
#[derive(Debug, Clone)]
pub struct KeyPair {
    /// The private key.
    pub private: Object,
    /// The public key.
    pub public: Object,
}
