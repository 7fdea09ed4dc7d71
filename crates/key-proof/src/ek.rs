//! Endorsement keys: what identifies a TPM, and its maker's certificate of it.

pub(crate) mod certificate;
pub(crate) mod chain;
pub(crate) mod expected;
pub(crate) mod template;
