//! Hashing, outside of the chip.

use sha2::digest::DynDigest;

use crate::{
    error::{Error, Result},
    mechanism::{self, Mechanism, Parameter},
};

/// A digest in the making.
pub(crate) struct Digesting {
    hasher: Box<dyn DynDigest + Send>,
}

impl Digesting {
    pub(crate) fn new(mechanism: &Mechanism) -> Result<Self> {
        let hash = mechanism::digest(mechanism.kind)?;
        if mechanism.parameter != Parameter::None {
            return Err(Error::MechanismParamInvalid);
        }
        Ok(Self {
            hasher: mechanism::hasher(hash),
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
