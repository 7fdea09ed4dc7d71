//! SSH formats for keys that are in a device: a TPM, an HSM, a cloud.
//!
//! Such a device returns numbers: a modulus, the coordinates of a point, the two numbers of a
//! signature. This crate converts them into OpenSSH's formats. It opens no files. It verifies
//! signatures and makes none. The only private keys that it reads are those on their way into a
//! device.
//!
//! - [`PublicKey`]: the blob of a public key, its `authorized_keys` line and
//!   its [`Fingerprint`];
//! - [`Signature`]: the blob of a signature, as it stands in the SSH protocol
//!   and in an agent's answer;
//! - [`AnyKey`]: a public key of any type, from another program;
//! - [`Certificate`] and [`CertificateRequest`]: OpenSSH certificates, parsed, verified, and made
//!   for an authority whose key is in a device;
//! - [`Krl`]: a key revocation list;
//! - [`SshSig`] and [`AllowedSigners`]: signatures of files and commits, and the files that tell
//!   whose signatures are accepted;
//! - [`PrivateKeyFile`]: a private key of `ssh-keygen`, to be imported into a device;
//! - [`wire`], [`pattern`], [`text`], [`time`]: the parts that these have in common.
//!
//! ```
//! use ssh_format::{Curve, PublicKey};
//!
//! // The coordinates of a point, as a device returns them (RFC 6979 A.2.5).
//! let x = hex("60fed4ba255a9d31c961eb74c6356d68c049b8923b61fa6ce669622e60f29fb6");
//! let y = hex("7903fe1008b8bc99a41ae9e95628bc64f2f1b20c2d7e9f5177a3c294d4462299");
//!
//! let key = PublicKey::ecdsa(Curve::NistP256, &x, &y)?;
//! assert!(key.authorized_keys_line("anna@laptop").starts_with("ecdsa-sha2-nistp256 AAAA"));
//! assert!(key.fingerprint().to_string().starts_with("SHA256:"));
//! # fn hex(text: &str) -> Vec<u8> { base16ct::lower::decode_vec(text).unwrap() }
//! # Ok::<(), ssh_format::Error>(())
//! ```
//!
//! The crate `ssh-key` does the encoding. It is not part of the API.
//!
//! # Stricter than OpenSSH
//!
#![doc = include_str!("../STRICTER.md")]
#![forbid(unsafe_code)]

mod allowed_signers;
mod any_key;
mod certificate;
mod curve;
mod error;
mod fingerprint;
mod key_line;
mod key_type;
mod krl;
pub mod pattern;
mod private_key;
mod public_key;
mod signature;
mod sshsig;
pub mod text;
pub mod time;
pub mod wire;

pub use allowed_signers::{AllowedSigners, SkippedLine};
pub use any_key::{AnyKey, MAX_LINE_LEN};
pub use certificate::{
    CertOption, Certificate, CertificateKind, CertificateRequest, CertificateState, MAX_PRINCIPALS,
    Unsigned,
};
pub use curve::Curve;
pub use error::{Error, Result};
pub use fingerprint::Fingerprint;
pub use krl::{Krl, MAX_KRL_LEN};
pub use private_key::{PrivateKeyFile, PrivateNumbers, SecretBytes};
pub use public_key::PublicKey;
pub use signature::{RsaHash, Signature};
pub use sshsig::{SigHash, Signer, SshSig};

/// The bytes that `text` spells in hexadecimal; white space is skipped.
#[cfg(test)]
fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(|b| !b.is_ascii_whitespace()).collect();
    base16ct::mixed::decode_vec(digits).expect("hexadecimal")
}
