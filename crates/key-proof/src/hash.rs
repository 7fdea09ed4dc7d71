//! The hash algorithms of Names, and HMAC with them.

use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256, Sha384, Sha512};
use tpm_wire::algorithm;

/// A name algorithm that is accepted. SHA-1 is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum HashAlg {
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

impl HashAlg {
    /// The algorithm with the number `id` (`TPM_ALG_ID`).
    ///
    /// # Source
    ///
    /// Part 2, section 6.3 "TPM_ALG_ID".
    pub(crate) fn from_id(id: u16) -> Option<Self> {
        match id {
            algorithm::SHA256 => Some(Self::Sha256),
            algorithm::SHA384 => Some(Self::Sha384),
            algorithm::SHA512 => Some(Self::Sha512),
            _ => None,
        }
    }

    pub(crate) fn id(self) -> u16 {
        match self {
            Self::Sha256 => algorithm::SHA256,
            Self::Sha384 => algorithm::SHA384,
            Self::Sha512 => algorithm::SHA512,
        }
    }

    /// Bytes of a digest.
    pub(crate) fn size(self) -> usize {
        match self {
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }

    /// The digest of the concatenation of `parts`.
    pub(crate) fn digest(self, parts: &[&[u8]]) -> Vec<u8> {
        fn of<D: Digest>(parts: &[&[u8]]) -> Vec<u8> {
            let mut hash = D::new();
            parts.iter().for_each(|part| hash.update(part));
            hash.finalize().to_vec()
        }
        match self {
            Self::Sha256 => of::<Sha256>(parts),
            Self::Sha384 => of::<Sha384>(parts),
            Self::Sha512 => of::<Sha512>(parts),
        }
    }

    /// The HMAC of the concatenation of `parts`.
    pub(crate) fn hmac(self, key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
        macro_rules! of {
            ($hash:ty) => {{
                let mut mac = <Hmac<$hash> as Mac>::new_from_slice(key)
                    .expect("HMAC takes keys of any length");
                parts.iter().for_each(|part| mac.update(part));
                mac.finalize().into_bytes().to_vec()
            }};
        }
        match self {
            Self::Sha256 => of!(Sha256),
            Self::Sha384 => of!(Sha384),
            Self::Sha512 => of!(Sha512),
        }
    }
}

/// SHA-256 of the concatenation of `parts`.
pub(crate) fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = Sha256::new();
    parts.iter().for_each(|part| hash.update(part));
    hash.finalize().into()
}
