//! Keys of a TPM in SSH's formats: public keys and signatures; and keys of SSH that are imported into
//! a TPM.
//!
//! `tpm-core` and `token-store` do not know SSH, and `ssh-format` does not know TPMs. This crate
//! connects them, for the agent and the program. It also has the part of a proof (`key-proof`) that
//! needs an open token: [`attest`](attest()).
//!
//! ```no_run
//! use token_store::{Key, OpenToken};
//!
//! # fn example(open: &OpenToken, key: &Key) -> Result<(), Box<dyn std::error::Error>> {
//! let public = ssh_keys::public_key(key.public())?;
//! let signature = ssh_keys::sign(open, key, b"data")?;
//! println!("{}", public.authorized_keys_line("anna@laptop"));
//! # drop(signature);
//! # Ok(())
//! # }
//! ```
#![forbid(unsafe_code)]

mod algorithm;
mod attest;
mod private_key;

pub use algorithm::Algorithm;
pub use attest::{Attested, Challenged, answer, attest, log_in_and_attest};
pub use private_key::{software_key, tpm_public_key};

use ssh_format::{PublicKey, Signature};
use token_store::{Error, Key, OpenToken, Result};
use tpm_core::Curve;

/// The SSH form of a public key of the TPM.
///
/// # Errors
///
/// If OpenSSH would not accept such a key.
pub fn public_key(key: &tpm_core::PublicKey) -> ssh_format::Result<PublicKey> {
    match key {
        tpm_core::PublicKey::Rsa { n, e } => PublicKey::rsa(n, *e),
        tpm_core::PublicKey::Ecc { curve, x, y } => PublicKey::ecdsa(ssh_curve(*curve), x, y),
    }
}

/// Whether the key's owner allows it to make SSH signatures.
#[must_use]
pub fn can_sign(key: &Key) -> bool {
    Algorithm::allowed(key).is_some()
}

/// Signs `data` with a key of an open token, as OpenSSH does: RSA with SHA-512, or SHA-256 if the
/// key is for that alone; ECDSA with the hash of its curve.
///
/// # Errors
///
/// As [`OpenToken::sign`].
pub fn sign(open: &OpenToken, key: &Key, data: &[u8]) -> Result<Signature> {
    sign_with(open, key, Algorithm::of(key), data)
}

/// Signs `data` with a key of an open token and this algorithm.
///
/// # Errors
///
/// As [`OpenToken::sign`]; [`Error::Invalid`] if the algorithm is not one of the key.
pub fn sign_with(
    open: &OpenToken,
    key: &Key,
    algorithm: Algorithm,
    data: &[u8],
) -> Result<Signature> {
    let digest = algorithm.digest(data);
    in_ssh_form(algorithm, &open.sign(key, algorithm.scheme(), &digest)?)
}

/// A signature that the TPM has made with this algorithm.
fn in_ssh_form(algorithm: Algorithm, made: &tpm_core::Signature) -> Result<Signature> {
    let blob = match (algorithm, made) {
        (Algorithm::Rsa(hash), tpm_core::Signature::Rsa(number)) => Signature::rsa(hash, number),
        (Algorithm::Ecdsa(curve), tpm_core::Signature::Ecdsa { r, s }) => {
            Signature::ecdsa(ssh_curve(curve), r, s)
        }
        _ => return Err(unusable()),
    };
    blob.map_err(|_| unusable())
}

fn unusable() -> Error {
    Error::Invalid {
        what: "signature",
        why: "the TPM made one of another kind",
    }
}

fn ssh_curve(curve: Curve) -> ssh_format::Curve {
    match curve {
        Curve::P256 => ssh_format::Curve::NistP256,
        Curve::P384 => ssh_format::Curve::NistP384,
        Curve::P521 => ssh_format::Curve::NistP521,
    }
}
