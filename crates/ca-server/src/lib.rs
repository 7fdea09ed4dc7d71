//! `tpmssh-ca`: an authority that certifies SSH keys for the TPMs that they live in.
//!
//! A machine proves with [`key_proof`] that its TPM made a key and that the key cannot leave it. The authority looks up what the machine
//! may be, and certifies the key for some hours. The machine comes again before they have passed. What the authority remembers is in its
//! [`registry`]; its own keys are in an agent or in a token ([`signer`]), and so in a TPM.
//!
//! This is a package of its own: its dependencies reach neither `tpmssh` nor the agent nor the PKCS#11 module.
#![forbid(unsafe_code)]

pub mod admin;
pub mod audit;
pub mod authority;
pub mod cmd;
mod error;
pub mod http;
pub mod identity;
pub mod metrics;
pub mod policy;
mod private_tls;
pub mod registry;
pub mod reload;
pub mod restored;
pub mod signer;

pub use error::Refusal;

/// What a machine gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// A JSON text.
    Json(String),
    /// It waits for an administrator, under this number.
    Pending(i64),
}
