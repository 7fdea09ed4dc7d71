//! Cryptographic operations of a session: signing and decrypting in the chip, verifying and
//! hashing outside of it.

use std::sync::Arc;

use cryptoki_sys::*;
use sha2::digest::DynDigest;
use token_store::{Key, OpenToken};
use tpm_core::{Curve, Hash, PublicKey, Scheme};

use crate::{
    der,
    error::{Error, Result},
    mechanism::{self, Mechanism, Padding, Parameter, Signing},
    padding,
};

/// The input of an operation so far.
enum Input {
    /// Kept as it is, for mechanisms whose input is short.
    Raw(Vec<u8>),
    /// Hashed as it comes.
    Hashed(Box<dyn DynDigest + Send>),
}

/// The most input that a mechanism without a hash of its own takes, in bytes.
const MAX_RAW: usize = 1024;

impl Input {
    fn new(hash: Option<Hash>) -> Self {
        hash.map_or_else(
            || Self::Raw(Vec::new()),
            |hash| Self::Hashed(mechanism::hasher(hash)),
        )
    }

    fn update(&mut self, data: &[u8]) -> Result<()> {
        match self {
            Self::Raw(raw) if raw.len() + data.len() > MAX_RAW => return Err(Error::DataLenRange),
            Self::Raw(raw) => raw.extend_from_slice(data),
            Self::Hashed(hasher) => hasher.update(data),
        }
        Ok(())
    }

    fn finish(self) -> Vec<u8> {
        match self {
            Self::Raw(raw) => raw,
            Self::Hashed(hasher) => hasher.finalize().into_vec(),
        }
    }
}

/// What is checked of a mechanism and a key before anything is signed or verified.
#[derive(Debug, Clone, Copy)]
struct Plan {
    signing: Signing,
    /// The hash of PSS where the input is a digest.
    pss: Option<Hash>,
}

impl Plan {
    fn new(mechanism: Mechanism, public: &PublicKey) -> Result<Self> {
        let signing = mechanism::signing(mechanism.kind)?;
        let is_rsa = matches!(public, PublicKey::Rsa { .. });
        if (signing.padding != Padding::Ecdsa) != is_rsa {
            return Err(Error::KeyTypeInconsistent);
        }
        let pss = match (signing.padding, mechanism.parameter) {
            (Padding::Pss, Parameter::Pss(kind, mgf, salt)) => {
                let hash = mechanism::digest(kind).map_err(|_| Error::MechanismParamInvalid)?;
                // The chip makes salts as long as the hash and masks with the same one.
                let same = signing.hash.is_none_or(|own| own == hash);
                if mgf != mechanism::mgf(hash) || salt != hash.size() as CK_ULONG || !same {
                    return Err(Error::MechanismParamInvalid);
                }
                Some(hash)
            }
            (Padding::Pss, _)
            | (_, Parameter::Pss(..) | Parameter::Oaep(..) | Parameter::Unknown) => {
                return Err(Error::MechanismParamInvalid);
            }
            (_, Parameter::None) => None,
        };
        Ok(Self { signing, pss })
    }

    /// The scheme and digest to which `data` comes down; `None` where PKCS#1 v1.5 is to be
    /// put around something that is no `DigestInfo` of a hash that the chip knows.
    fn scheme<'a>(&self, data: &'a [u8], public: &PublicKey) -> Result<Option<(Scheme, &'a [u8])>> {
        let plan = match (self.signing.padding, self.signing.hash) {
            (Padding::Pkcs1, Some(hash)) => (Scheme::RsaPkcs1(hash), data),
            (Padding::Pkcs1, None) => match der::digest_info(data) {
                Some((hash, digest)) => (Scheme::RsaPkcs1(hash), digest),
                None if data.len() + 11 > signature_size(public) => {
                    return Err(Error::DataLenRange);
                }
                None => return Ok(None),
            },
            (Padding::Pss, hash) => {
                let hash = self.pss.or(hash).ok_or(Error::MechanismParamInvalid)?;
                (Scheme::RsaPss(hash), data)
            }
            (Padding::Ecdsa, _) => (Scheme::Ecdsa, data),
        };
        match plan.0 {
            Scheme::RsaPkcs1(hash) | Scheme::RsaPss(hash) if data_len(plan.1) != hash.size() => {
                Err(Error::DataLenRange)
            }
            // P-521 takes 521 bits of a digest, of which the chip can be given 512.
            Scheme::Ecdsa if data.is_empty() || is_too_long(data, public) => {
                Err(Error::DataLenRange)
            }
            _ => Ok(Some(plan)),
        }
    }
}

fn data_len(data: &[u8]) -> usize {
    data.len()
}

fn is_too_long(data: &[u8], public: &PublicKey) -> bool {
    matches!(
        public,
        PublicKey::Ecc {
            curve: Curve::P521,
            ..
        }
    ) && data.len() > 64
}

/// The length of a signature by a key, in bytes.
pub(crate) fn signature_size(public: &PublicKey) -> usize {
    match public {
        PublicKey::Rsa { n, .. } => n.len(),
        PublicKey::Ecc { curve, .. } => 2 * curve.field_size(),
    }
}

/// A signature in the making.
pub(crate) struct Signature {
    key: Arc<Key>,
    plan: Plan,
    input: Input,
    /// Whether `C_SignUpdate` was called.
    pub(crate) in_parts: bool,
    /// Whether the PIN was given for this very signature (`CKU_CONTEXT_SPECIFIC`).
    pub(crate) authenticated: bool,
}

impl Signature {
    pub(crate) fn new(mechanism: Mechanism, key: Arc<Key>) -> Result<Self> {
        let plan = Plan::new(mechanism, key.public())?;
        let input = Input::new(plan.signing.hash);
        Ok(Self {
            key,
            plan,
            input,
            in_parts: false,
            authenticated: false,
        })
    }

    pub(crate) fn key(&self) -> &Key {
        &self.key
    }

    /// The length of the result.
    pub(crate) fn size(&self) -> usize {
        signature_size(self.key.public())
    }

    pub(crate) fn update(&mut self, data: &[u8]) -> Result<()> {
        self.input.update(data)
    }

    /// Makes the signature, in the chip.
    pub(crate) fn finish(self, token: &OpenToken) -> Result<Vec<u8>> {
        let public = self.key.public();
        let data = self.input.finish();
        match self.plan.scheme(&data, public)? {
            Some((scheme, digest)) => Ok(match token.sign(&self.key, scheme, digest)? {
                tpm_core::Signature::Rsa(bytes) => bytes,
                tpm_core::Signature::Ecdsa { r, s } => [r, s].concat(),
            }),
            // Any other input takes the raw operation, for which the key must be made.
            None if self.key.usage().decrypt => {
                let block = padding::pkcs1_sign(&data, signature_size(public))
                    .ok_or(Error::DataLenRange)?;
                Ok(token.rsa_raw(&self.key, &block)?)
            }
            None => Err(Error::DataInvalid),
        }
    }
}

/// A signature being checked.
pub(crate) struct Verification {
    public: PublicKey,
    plan: Plan,
    input: Input,
    pub(crate) in_parts: bool,
}

impl Verification {
    pub(crate) fn new(mechanism: Mechanism, public: PublicKey) -> Result<Self> {
        let plan = Plan::new(mechanism, &public)?;
        let input = Input::new(plan.signing.hash);
        Ok(Self {
            public,
            plan,
            input,
            in_parts: false,
        })
    }

    pub(crate) fn update(&mut self, data: &[u8]) -> Result<()> {
        self.input.update(data)
    }

    /// Checks the signature, outside of the chip.
    pub(crate) fn finish(self, signature: &[u8]) -> Result<()> {
        if signature.len() != signature_size(&self.public) {
            return Err(Error::SignatureLenRange);
        }
        let data = self.input.finish();
        let Some((scheme, digest)) = self.plan.scheme(&data, &self.public)? else {
            return Err(Error::DataInvalid);
        };
        let signature = match &self.public {
            PublicKey::Rsa { .. } => tpm_core::Signature::Rsa(signature.to_vec()),
            PublicKey::Ecc { .. } => {
                let (r, s) = signature.split_at(signature.len() / 2);
                tpm_core::Signature::Ecdsa {
                    r: r.to_vec(),
                    s: s.to_vec(),
                }
            }
        };
        if self.public.verify(scheme, digest, &signature) {
            Ok(())
        } else {
            Err(Error::SignatureInvalid)
        }
    }
}

/// A digest in the making.
pub(crate) struct Digesting {
    hasher: Box<dyn DynDigest + Send>,
    pub(crate) in_parts: bool,
}

impl Digesting {
    pub(crate) fn new(mechanism: Mechanism) -> Result<Self> {
        let hash = mechanism::digest(mechanism.kind)?;
        if mechanism.parameter != Parameter::None {
            return Err(Error::MechanismParamInvalid);
        }
        Ok(Self {
            hasher: mechanism::hasher(hash),
            in_parts: false,
        })
    }

    pub(crate) fn size(&self) -> usize {
        self.hasher.output_size()
    }

    pub(crate) fn update(&mut self, data: &[u8]) {
        self.hasher.update(data);
    }

    pub(crate) fn finish(self) -> Vec<u8> {
        self.hasher.finalize().into_vec()
    }
}

/// A decryption to come.
#[derive(Clone)]
pub(crate) struct Decryption {
    key: Arc<Key>,
    /// The hash of OAEP; `None` for PKCS#1 v1.5.
    oaep: Option<Hash>,
    /// Whether the PIN was given for this very decryption.
    pub(crate) authenticated: bool,
}

impl Decryption {
    pub(crate) fn new(mechanism: Mechanism, key: Arc<Key>) -> Result<Self> {
        let oaep = match (mechanism.kind, mechanism.parameter) {
            (CKM_RSA_PKCS, Parameter::None) => None,
            (CKM_RSA_PKCS_OAEP, Parameter::Oaep(kind, mgf)) => {
                let hash = mechanism::digest(kind).map_err(|_| Error::MechanismParamInvalid)?;
                if mgf != mechanism::mgf(hash) {
                    return Err(Error::MechanismParamInvalid);
                }
                Some(hash)
            }
            (CKM_RSA_PKCS | CKM_RSA_PKCS_OAEP, _) => return Err(Error::MechanismParamInvalid),
            _ => return Err(Error::MechanismInvalid),
        };
        if !key.key_type().is_rsa() {
            return Err(Error::KeyTypeInconsistent);
        }
        if !key.usage().decrypt {
            return Err(Error::KeyFunctionNotPermitted);
        }
        Ok(Self {
            key,
            oaep,
            authenticated: false,
        })
    }

    pub(crate) fn key(&self) -> &Key {
        &self.key
    }

    /// The length of the longest message.
    pub(crate) fn max_size(&self) -> usize {
        let size = signature_size(self.key.public());
        size.saturating_sub(self.oaep.map_or(11, |hash| 2 * hash.size() + 2))
    }

    pub(crate) fn finish(&self, token: &OpenToken, data: &[u8]) -> Result<Vec<u8>> {
        if data.len() != signature_size(self.key.public()) {
            return Err(Error::EncryptedDataLenRange);
        }
        let block = token.rsa_raw(&self.key, data).map_err(|err| match err {
            token_store::Error::Tpm(tpm_core::Error::Malformed(_)) => Error::EncryptedDataInvalid,
            err => err.into(),
        })?;
        let message = match self.oaep {
            Some(hash) => padding::oaep_decrypt(&block, hash),
            None => padding::pkcs1_decrypt(&block),
        };
        message.ok_or(Error::EncryptedDataInvalid)
    }
}
