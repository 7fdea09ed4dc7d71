//! Decrypting, in the chip.

use std::sync::Arc;

use cryptoki_sys::*;
use token_store::{Key, OpenToken};
use tpm_core::{Hash, padding};
use zeroize::Zeroizing;

use super::input::signature_size;
use crate::{
    error::{Error, Result},
    mechanism::{self, Mechanism, Parameter},
};

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
