//! New key pairs.

use tpm_core::{KeyType, Usage};

use super::{
    Attributes, MAX_ID_LEN, MAX_VALUE_LEN, Mechanisms, Object, Permissions, check_label, check_len,
};
use crate::Result;

/// The attributes of a new key pair.
#[derive(Debug, Clone)]
pub struct KeySpec {
    /// Algorithm and size.
    pub key_type: KeyType,
    /// The uses of the private key besides signing. This is the owner's choice. In the chip every
    /// RSA key may also decrypt, because padding SHA-512 signatures in software needs that.
    pub usage: Usage,
    /// Whether the private key may sign.
    pub signs: bool,
    /// The mechanisms that the private key may be used with; `None` for all of its type.
    pub mechanisms: Option<Mechanisms>,
    /// `CKA_LABEL` of both halves; at most 128 bytes.
    pub label: String,
    /// `CKA_ID` of both halves; if `None`, [`default_id`](super::default_id).
    pub id: Option<Vec<u8>>,
    /// `CKA_SUBJECT` of both halves: a DER name, may be empty.
    pub subject: Vec<u8>,
    /// Whether each use of the private key asks for the PIN again. The chip does not enforce
    /// this; the callers of this crate do.
    pub always_authenticate: bool,
    /// The values of the private half alone.
    pub private: Half,
    /// The values of the public half alone.
    pub public: Half,
}

/// The values of one half of a key pair. An absent value is the one for both halves.
#[derive(Debug, Clone, Default)]
pub struct Half {
    /// `CKA_LABEL`.
    pub label: Option<String>,
    /// `CKA_ID`.
    pub id: Option<Vec<u8>>,
    /// `CKA_SUBJECT`.
    pub subject: Option<Vec<u8>>,
    /// Whether it will be visible only after login. By default this is true of the private half
    /// and false of the public one.
    pub hidden: Option<bool>,
    /// Attributes that are kept as they are.
    pub attributes: Attributes,
}

impl KeySpec {
    /// A key that only signs, with the default id.
    #[must_use]
    pub fn new(key_type: KeyType, label: impl Into<String>) -> Self {
        Self {
            key_type,
            usage: Usage::SIGN,
            signs: true,
            mechanisms: None,
            label: label.into(),
            id: None,
            subject: Vec::new(),
            always_authenticate: false,
            private: Half::default(),
            public: Half::default(),
        }
    }

    /// The permissions of the new key.
    pub(crate) fn permissions(&self) -> Permissions {
        Permissions {
            sign: self.signs,
            decrypt: Some(self.usage.decrypt),
            mechanisms: self.mechanisms.clone(),
            always_authenticate: self.always_authenticate,
        }
    }

    /// Refuses a label, id or subject that cannot be stored.
    pub(crate) fn check(&self) -> Result<()> {
        if let Some(mechanisms) = &self.mechanisms {
            mechanisms.encode()?;
        }
        for half in [&self.private, &self.public] {
            check_label(half.label.as_deref().unwrap_or(&self.label))?;
            for id in [&self.id, &half.id] {
                check_len("id", id.as_deref().unwrap_or_default(), MAX_ID_LEN)?;
            }
            let subject = half.subject.as_deref().unwrap_or(&self.subject);
            check_len("subject", subject, MAX_VALUE_LEN)?;
            half.attributes.encode()?;
        }
        Ok(())
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
