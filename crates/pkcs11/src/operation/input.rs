//! The input of signing and verifying, and the scheme that follows from mechanism and input.

use sha2::digest::DynDigest;
use tpm_core::{Curve, Hash, Pss, PublicKey, Scheme, padding};

use crate::{
    der,
    error::{Error, Result},
    mechanism::{self, Mechanism, Padding, Parameter, Signing},
};

/// The input of an operation so far.
pub(super) enum Input {
    /// Kept unchanged, for mechanisms whose input is short.
    Raw(Vec<u8>),
    /// Hashed as it comes.
    Hashed(Box<dyn DynDigest + Send>),
}

/// The most input that a mechanism without a hash of its own takes, in bytes.
const MAX_RAW: usize = 1024;

impl Input {
    pub(super) fn new(hash: Option<Hash>) -> Self {
        hash.map_or_else(
            || Self::Raw(Vec::new()),
            |hash| Self::Hashed(mechanism::hasher(hash)),
        )
    }

    pub(super) fn update(&mut self, data: &[u8]) -> Result<()> {
        match self {
            Self::Raw(raw) if raw.len() + data.len() > MAX_RAW => return Err(Error::DataLenRange),
            Self::Raw(raw) => raw.extend_from_slice(data),
            Self::Hashed(hasher) => hasher.update(data),
        }
        Ok(())
    }

    pub(super) fn finish(self) -> Vec<u8> {
        match self {
            Self::Raw(raw) => raw,
            Self::Hashed(hasher) => hasher.finalize().into_vec(),
        }
    }
}

/// A mechanism that was checked together with a key, before the first input.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) signing: Signing,
    /// The parameters of PSS.
    pss: Option<Pss>,
}

impl Plan {
    pub(super) fn new(mechanism: &Mechanism, public: &PublicKey) -> Result<Self> {
        let signing = mechanism::signing(mechanism.kind)?;
        let is_rsa = matches!(public, PublicKey::Rsa { .. });
        if (signing.padding != Padding::Ecdsa) != is_rsa {
            return Err(Error::KeyTypeInconsistent);
        }
        let pss = match (signing.padding, &mechanism.parameter) {
            (Padding::Pss, &Parameter::Pss(kind, mgf, salt)) => {
                let hash = mechanism::digest(kind).map_err(|_| Error::MechanismParamInvalid)?;
                let mgf = mechanism::mgf(mgf)?;
                let longest = Pss::max_salt(hash, signature_size(public));
                let salt = usize::try_from(salt).ok().filter(|salt| *salt <= longest);
                let salt = salt.filter(|_| signing.hash.is_none_or(|own| own == hash));
                let salt = salt.ok_or(Error::MechanismParamInvalid)?;
                Some(Pss { hash, mgf, salt })
            }
            (Padding::Pss, _) => return Err(Error::MechanismParamInvalid),
            (_, Parameter::None) => None,
            _ => return Err(Error::MechanismParamInvalid),
        };
        Ok(Self { signing, pss })
    }

    /// Whether the module makes the padding, because no chip does.
    pub(super) fn is_padded_here(&self) -> bool {
        self.pss.is_some_and(|pss| pss != Pss::new(pss.hash))
    }

    /// The scheme and digest for `data`.
    pub(super) fn scheme<'a>(
        &self,
        data: &'a [u8],
        public: &PublicKey,
    ) -> Result<(Scheme, &'a [u8])> {
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
            (Padding::Pss, _) => match self.pss {
                Some(pss) if self.is_padded_here() => (Scheme::RsaPssWith(pss), data),
                Some(pss) => (Scheme::RsaPss(pss.hash), data),
                None => return Err(Error::MechanismParamInvalid),
            },
            (Padding::Ecdsa, _) => (Scheme::Ecdsa, data),
        };
        let takes = match plan.0 {
            Scheme::RsaPkcs1(hash)
            | Scheme::RsaPss(hash)
            | Scheme::RsaPssWith(Pss { hash, .. }) => plan.1.len() == hash.size(),
            Scheme::RsaPkcs1Any => data.len() + 11 <= signature_size(public),
            // P-521 uses 521 bits of a digest, and the chip takes at most 512.
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
pub(super) fn signature_size(public: &PublicKey) -> usize {
    match public {
        PublicKey::Rsa { n, .. } => n.len(),
        PublicKey::Ecc { curve, .. } => 2 * curve.field_size(),
    }
}
