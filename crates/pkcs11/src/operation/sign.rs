//! Cryptographic operations of a session: signing and decrypting in the chip, verifying and
//! hashing outside of it.

use std::sync::Arc;

use cryptoki_sys::*;
use sha2::digest::DynDigest;
use token_store::{Key, OpenToken};
use tpm_core::{Curve, Hash, PublicKey, Scheme, padding};
use zeroize::Zeroizing;

use crate::{
    der,
    error::{Error, Result},
    mechanism::{self, Mechanism, Padding, Parameter, Signing},
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
#[derive(Debug)]
struct Plan {
    signing: Signing,
    /// The hash of PSS where the input is a digest.
    pss: Option<Hash>,
}

impl Plan {
    fn new(mechanism: &Mechanism, public: &PublicKey) -> Result<Self> {
        let signing = mechanism::signing(mechanism.kind)?;
        let is_rsa = matches!(public, PublicKey::Rsa { .. });
        if (signing.padding != Padding::Ecdsa) != is_rsa {
            return Err(Error::KeyTypeInconsistent);
        }
        let pss = match (signing.padding, &mechanism.parameter) {
            (Padding::Pss, &Parameter::Pss(kind, mgf, salt)) => {
                let hash = mechanism::digest(kind).map_err(|_| Error::MechanismParamInvalid)?;
                // The chip makes salts as long as the hash and masks with the same one.
                let same = signing.hash.is_none_or(|own| own == hash);
                if mechanism::mgf(mgf)? != hash || salt != hash.size() as CK_ULONG || !same {
                    return Err(Error::MechanismParamInvalid);
                }
                Some(hash)
            }
            (Padding::Pss, _) => return Err(Error::MechanismParamInvalid),
            (_, Parameter::None) => None,
            _ => return Err(Error::MechanismParamInvalid),
        };
        Ok(Self { signing, pss })
    }

    /// The scheme and digest to which `data` comes down.
    fn scheme<'a>(&self, data: &'a [u8], public: &PublicKey) -> Result<(Scheme, &'a [u8])> {
        let data = match self.signing.padding {
            Padding::Pkcs1Block if data.len() != signature_size(public) => {
                return Err(Error::DataLenRange);
            }
            Padding::Pkcs1Block => padding::pkcs1_signed(data).ok_or(Error::DataInvalid)?,
            _ => data,
        };
        let plan = match (self.signing.padding, self.signing.hash) {
            (Padding::Pkcs1, Some(hash)) => (Scheme::RsaPkcs1(hash), data),
            (Padding::Pkcs1 | Padding::Pkcs1Block, _) => match der::digest_info(data) {
                Some((hash, digest)) => (Scheme::RsaPkcs1(hash), digest),
                None => (Scheme::RsaPkcs1Any, data),
            },
            (Padding::Pss, hash) => {
                let hash = self.pss.or(hash).ok_or(Error::MechanismParamInvalid)?;
                (Scheme::RsaPss(hash), data)
            }
            (Padding::Ecdsa, _) => (Scheme::Ecdsa, data),
        };
        let takes = match plan.0 {
            Scheme::RsaPkcs1(hash) | Scheme::RsaPss(hash) => plan.1.len() == hash.size(),
            Scheme::RsaPkcs1Any => data.len() + 11 <= signature_size(public),
            // P-521 takes 521 bits of a digest, of which the chip can be given 512.
            Scheme::Ecdsa => !data.is_empty() && !is_too_long(data, public),
        };
        if takes {
            Ok(plan)
        } else {
            Err(Error::DataLenRange)
        }
    }
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
    pub(crate) fn new(mechanism: &Mechanism, key: Arc<Key>) -> Result<Self> {
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
        let (scheme, digest) = self.plan.scheme(&data, public)?;
        let signed = token.sign(&self.key, scheme, digest);
        match signed.map_err(|err| refused(err, scheme))? {
            tpm_core::Signature::Rsa(bytes) => Ok(bytes),
            tpm_core::Signature::Ecdsa { r, s } => Ok([r, s].concat()),
        }
    }
}

/// What it means that a key does not do a scheme.
fn refused(err: token_store::Error, scheme: Scheme) -> Error {
    match (err, scheme) {
        // The data are no digest of a hash that the chip knows.
        (token_store::Error::Tpm(tpm_core::Error::NotSupported(_)), Scheme::RsaPkcs1Any) => {
            Error::DataInvalid
        }
        (err, _) => err.into(),
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
    pub(crate) fn new(mechanism: &Mechanism, public: PublicKey) -> Result<Self> {
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
        let (scheme, digest) = self.plan.scheme(&data, &self.public)?;
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
    pub(crate) fn new(mechanism: &Mechanism) -> Result<Self> {
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
    /// `None` for PKCS#1 v1.5.
    oaep: Option<Oaep>,
    /// Whether the PIN was given for this very decryption.
    pub(crate) authenticated: bool,
}

/// The parameters of OAEP.
#[derive(Clone)]
struct Oaep {
    hash: Hash,
    mgf: Hash,
    label: Vec<u8>,
}

impl Decryption {
    pub(crate) fn new(mechanism: Mechanism, key: Arc<Key>) -> Result<Self> {
        let oaep = match (mechanism.kind, mechanism.parameter) {
            (CKM_RSA_PKCS, Parameter::None) => None,
            (CKM_RSA_PKCS_OAEP, Parameter::Oaep(kind, mgf, label)) => Some(Oaep {
                hash: mechanism::digest(kind).map_err(|_| Error::MechanismParamInvalid)?,
                mgf: mechanism::mgf(mgf)?,
                label,
            }),
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
        let oaep = self.oaep.as_ref();
        size.saturating_sub(oaep.map_or(11, |oaep| 2 * oaep.hash.size() + 2))
    }

    /// Decrypts, in the chip. What the chip would choke on never reaches it.
    pub(crate) fn finish(&self, token: &OpenToken, data: &[u8]) -> Result<Vec<u8>> {
        if data.len() != signature_size(self.key.public()) {
            return Err(Error::EncryptedDataLenRange);
        }
        let block = token.rsa_raw(&self.key, data).map_err(|err| match err {
            token_store::Error::Tpm(tpm_core::Error::Malformed(_)) => Error::EncryptedDataInvalid,
            err => err.into(),
        })?;
        let block = Zeroizing::new(block);
        let message = match &self.oaep {
            Some(Oaep { hash, mgf, label }) => padding::oaep_decrypt(&block, *hash, *mgf, label),
            None => padding::pkcs1_decrypt(&block),
        };
        message.ok_or(Error::EncryptedDataInvalid)
    }
}
