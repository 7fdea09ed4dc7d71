//! The paddings of RSA encryption.

use cryptoki_sys::*;
use tpm_core::{Hash, padding};

use crate::{
    error::{Error, Result},
    mechanism::{self, Mechanism, Parameter},
};

/// The padding of a message before it is encrypted.
#[derive(Clone)]
pub(super) enum Enciphering {
    /// PKCS#1 v1.5.
    Pkcs1,
    Oaep {
        hash: Hash,
        mgf: Hash,
        label: Vec<u8>,
    },
}

impl Enciphering {
    /// The padding of a mechanism.
    ///
    /// # Errors
    ///
    /// [`Error::MechanismInvalid`], [`Error::MechanismParamInvalid`].
    pub(super) fn new(mechanism: Mechanism) -> Result<Self> {
        match (mechanism.kind, mechanism.parameter) {
            (CKM_RSA_PKCS, Parameter::None) => Ok(Self::Pkcs1),
            (CKM_RSA_PKCS_OAEP, Parameter::Oaep(kind, mgf, label)) => Ok(Self::Oaep {
                hash: mechanism::digest(kind).map_err(|_| Error::MechanismParamInvalid)?,
                mgf: mechanism::mgf(mgf)?,
                label,
            }),
            (CKM_RSA_PKCS | CKM_RSA_PKCS_OAEP, _) => Err(Error::MechanismParamInvalid),
            _ => Err(Error::MechanismInvalid),
        }
    }

    /// The length of the longest message for a modulus of `size` bytes.
    pub(super) fn longest(&self, size: usize) -> usize {
        size.saturating_sub(match self {
            Self::Pkcs1 => 11,
            Self::Oaep { hash, .. } => 2 * hash.size() + 2,
        })
    }

    /// The block to be encrypted; `None` for a message that is too long.
    pub(super) fn pad(&self, message: &[u8], size: usize) -> Option<Vec<u8>> {
        match self {
            Self::Pkcs1 => padding::pkcs1_encrypt(message, size),
            Self::Oaep { hash, mgf, label } => {
                padding::oaep_encrypt(message, *hash, *mgf, label, size)
            }
        }
    }

    /// The message in a decrypted block.
    pub(super) fn unpad(&self, block: &[u8]) -> Option<Vec<u8>> {
        match self {
            Self::Pkcs1 => padding::pkcs1_decrypt(block),
            Self::Oaep { hash, mgf, label } => padding::oaep_decrypt(block, *hash, *mgf, label),
        }
    }
}
