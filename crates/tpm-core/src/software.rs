//! What is computed beside the chip, from public values alone: paddings and checks of signatures.

pub mod padding;
pub(crate) mod verifier;
