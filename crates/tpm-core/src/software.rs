//! What is computed in software: RSA paddings, and the verification of signatures.

pub mod padding;
pub(crate) mod verifier;
