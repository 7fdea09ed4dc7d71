//! Endorsement keys, which identify a TPM, and the makers' certificates for them.

pub(crate) mod certificate;
pub(crate) mod chain;
pub(crate) mod expected;
pub(crate) mod template;
