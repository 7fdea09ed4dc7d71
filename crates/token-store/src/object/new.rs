//! Objects whose values a caller brings.

use tpm_core::PublicKey;

use super::Attributes;

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
    /// Whether it will be visible only after login.
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
    /// Whether it will be visible only after login.
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
