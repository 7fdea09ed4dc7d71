//! `tpmssh-ca`: an authority that certifies SSH keys which are held by TPMs.
//!
//! A machine proves with [`key_proof`] that its TPM made a key and that the key cannot leave it. The authority looks up the role and the name of
//! the machine, and issues a certificate for some hours, which the machine renews. Devices, keys and certificates are stored in the
//! [`registry`]. The authority's own keys are in an agent, in a token of the TPM, or sealed to the TPM ([`signer`]).
//!
//! This is a package of its own, so that its dependencies do not become dependencies of `tpmssh`, its agent or its PKCS#11 module.
#![forbid(unsafe_code)]

pub mod admin;
pub mod audit;
pub mod authority;
mod clock;
pub mod cmd;
mod error;
mod files;
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

/// The answer to a machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// A JSON text.
    Json(String),
    /// The key waits for an administrator's approval, under this number.
    Pending(i64),
}
