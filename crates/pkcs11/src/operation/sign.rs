//! Signing, in the chip.

use std::sync::Arc;

use token_store::{Key, OpenToken};
use tpm_core::{Error as Tpm, Scheme};

use super::input::{Input, Plan, signature_size};
use crate::{
    error::{Error, Result},
    mechanism::Mechanism,
};

/// A signature in the making.
pub(crate) struct Signature {
    key: Arc<Key>,
    plan: Plan,
    input: Input,
    /// Whether the PIN was given for this signature (`CKU_CONTEXT_SPECIFIC`).
    pub(crate) authenticated: bool,
}

impl Signature {
    pub(crate) fn new(mechanism: &Mechanism, key: Arc<Key>) -> Result<Self> {
        let plan = Plan::new(mechanism, key.public())?;
        // This padding needs the raw RSA operation, which keys of older versions lack.
        if plan.is_padded_here() && !key.blob().usage().decrypt {
            return Err(Error::MechanismParamInvalid);
        }
        let input = Input::new(plan.signing.hash);
        Ok(Self {
            key,
            plan,
            input,
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

/// The error for a scheme that a key refuses.
fn refused(err: token_store::Error, scheme: Scheme) -> Error {
    match (err, scheme) {
        // The data are not a digest of a hash that the chip knows.
        (
            token_store::Error::Tpm(Tpm::NotSupported(_) | Tpm::InvalidArgument(_)),
            Scheme::RsaPkcs1Any,
        ) => Error::DataInvalid,
        (err, _) => err.into(),
    }
}
