//! Verifying, outside of the chip.

use tpm_core::PublicKey;

use super::input::{Input, Plan, signature_size};
use crate::{
    error::{Error, Result},
    mechanism::Mechanism,
};

/// A signature being checked.
pub(crate) struct Verification {
    public: PublicKey,
    plan: Plan,
    input: Input,
}

impl Verification {
    pub(crate) fn new(mechanism: &Mechanism, public: PublicKey) -> Result<Self> {
        let plan = Plan::new(mechanism, &public)?;
        let input = Input::new(plan.signing.hash);
        Ok(Self {
            public,
            plan,
            input,
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
