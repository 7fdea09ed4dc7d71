//! A token that its user has logged in to.

use std::sync::Arc;

use tpm_core::{KeyType, Scheme, Signature, Tpm, Usage};

use crate::{Key, Object, Pin, Result, Store, Token, TokenId};

/// What a new key pair is to be like.
#[derive(Debug, Clone)]
pub struct KeySpec {
    /// Algorithm and size.
    pub key_type: KeyType,
    /// What else than signing the private key may do.
    pub usage: Usage,
    /// `CKA_LABEL` of both halves; at most 128 bytes.
    pub label: String,
    /// `CKA_ID` of both halves; the SHA-1 of the SubjectPublicKeyInfo where absent.
    pub id: Option<Vec<u8>>,
    /// `CKA_SUBJECT` of both halves: a DER name, may be empty.
    pub subject: Vec<u8>,
    /// Whether each use of the private key asks for the PIN again. The chip does not enforce
    /// this; the callers of this crate do.
    pub always_authenticate: bool,
}

impl KeySpec {
    /// A key that signs, with the default id.
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
}

/// The two objects of a new key pair.
#[derive(Debug, Clone)]
pub struct KeyPair {
    /// The private key.
    pub private: Object,
    /// The public key.
    pub public: Object,
}

/// A token whose user PIN was right: it makes keys and signs.
///
/// Holds the value derived from the PIN, wiped when dropped, and for each used key a context
/// that the chip saved; nothing stays loaded in the chip. It needs the [`Store`] only to keep
/// what it makes, and can be used from many threads.
pub struct OpenToken {}

impl OpenToken {
    /// Logs in. A wrong PIN costs one try; the token's first key is loaded on the way, so that
    /// a first signature is cheap.
    ///
    /// The tries left are remembered in the store where it can be written.
    ///
    /// # Errors
    ///
    /// [`crate::Error::WrongPin`] with the tries left, [`crate::Error::PinLocked`],
    /// [`crate::Error::ChipLocked`], [`crate::Error::PinNotSet`],
    /// [`crate::Error::PinRequired`], [`crate::Error::OtherTpm`],
    /// [`crate::Error::CounterMissing`], and those of the TPM and of the store.
    pub fn open(store: &Store, tpm: &Arc<Tpm>, token: &Token, pin: Option<&Pin>) -> Result<Self> {
        let _ = (store, tpm, token, pin);
        todo!()
    }

    /// Which token it is.
    #[must_use]
    pub fn token(&self) -> TokenId {
        todo!()
    }

    /// Proves the PIN once more, for keys that ask for it at each use; a wrong one costs one
    /// try.
    ///
    /// # Errors
    ///
    /// As [`OpenToken::open`].
    pub fn verify(&self, store: &Store, pin: &Pin) -> Result<()> {
        let _ = (store, pin);
        todo!()
    }

    /// Makes a key pair in the chip and keeps it. An RSA key can take a minute.
    ///
    /// # Errors
    ///
    /// Those of label and id, of the TPM (a key type that the chip lacks among them) and of
    /// the store; nothing is kept then.
    pub fn generate(&self, store: &mut Store, spec: &KeySpec) -> Result<KeyPair> {
        let _ = (store, spec);
        todo!()
    }

    /// Makes a key in the chip that is not kept: it is gone when the value is dropped.
    ///
    /// # Errors
    ///
    /// Those of the TPM.
    pub fn generate_session_key(&self, key_type: KeyType, usage: Usage) -> Result<Key> {
        let _ = (key_type, usage);
        todo!()
    }

    /// Signs `digest`, whose length must be that of the scheme's hash; for ECDSA any length.
    ///
    /// The signature is verified with the stored public key before it is returned.
    ///
    /// # Errors
    ///
    /// [`crate::Error::LoggedOut`] if the PIN was changed meanwhile, and those of the TPM.
    pub fn sign(&self, key: &Key, scheme: Scheme, digest: &[u8]) -> Result<Signature> {
        let _ = (key, scheme, digest);
        todo!()
    }

    /// The raw RSA private operation on `block`, which is as long as the modulus and less than
    /// it; only for keys made with [`Usage::decrypt`].
    ///
    /// # Errors
    ///
    /// As [`OpenToken::sign`].
    pub fn rsa_raw(&self, key: &Key, block: &[u8]) -> Result<Vec<u8>> {
        let _ = (key, block);
        todo!()
    }

    /// The x coordinate of the ECDH shared point with the point (`x`, `y`); only for keys made
    /// with [`Usage::decrypt`].
    ///
    /// # Errors
    ///
    /// As [`OpenToken::sign`].
    pub fn ecdh(&self, key: &Key, x: &[u8], y: &[u8]) -> Result<Vec<u8>> {
        let _ = (key, x, y);
        todo!()
    }
}
