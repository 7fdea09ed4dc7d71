//! The Name of an object, NV index or hierarchy, by which the TPM identifies it in HMACs and
//! policies.

use std::fmt;

use sha1::Sha1;
use sha2::{Digest, Sha256, Sha384, Sha512};
use tpm_wire::algorithm;

use crate::{Error, Result};

/// The Name of a TPM entity.
///
/// For objects and NV indexes: a 16-bit hash algorithm, then the hash of the public area;
/// 34 bytes for SHA-256. For hierarchies and sessions: their handle, 4 bytes.
///
/// # Source
///
/// Part 1, section 16 "Names".
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Name(Vec<u8>);

impl Name {
    /// The Name of a public area (`TPMT_PUBLIC` or `TPMS_NV_PUBLIC`) whose name algorithm is
    /// SHA-256.
    #[must_use]
    pub fn of_public(public: &[u8]) -> Self {
        let mut name = algorithm::SHA256.to_be_bytes().to_vec();
        name.extend_from_slice(&Sha256::digest(public));
        Self(name)
    }

    /// The Name of a `TPMT_PUBLIC`, by the name algorithm that it states in bytes 2 and 3.
    ///
    /// # Errors
    ///
    /// [`Error::Malformed`] if the algorithm is not supported.
    pub(crate) fn of_public_area(public: &[u8]) -> Result<Self> {
        let hash = match public.get(2..4) {
            Some(id) => u16::from_be_bytes([id[0], id[1]]),
            None => return Err(Error::Malformed("public area")),
        };
        let digest = match hash {
            algorithm::SHA1 => Sha1::digest(public).to_vec(),
            algorithm::SHA256 => Sha256::digest(public).to_vec(),
            algorithm::SHA384 => Sha384::digest(public).to_vec(),
            algorithm::SHA512 => Sha512::digest(public).to_vec(),
            _ => return Err(Error::Malformed("name algorithm")),
        };
        Ok(Self([&hash.to_be_bytes()[..], &digest].concat()))
    }

    /// The Name of a hierarchy or session, which is its handle.
    #[must_use]
    pub fn of_handle(handle: u32) -> Self {
        Self(handle.to_be_bytes().to_vec())
    }

    /// A Name as the chip returned it.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Self {
        Self(bytes.to_vec())
    }

    /// The bytes, algorithm first.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Name({self})")
    }
}
