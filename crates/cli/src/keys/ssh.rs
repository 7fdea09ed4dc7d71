//! From the store's objects to what ssh reads.

use anyhow::Result;
use ssh_format::PublicKey;
use tpm_core::Curve;

/// The SSH form of a public key of the TPM.
///
/// # Errors
///
/// If OpenSSH would not take such a key.
pub(crate) fn public_key(key: &tpm_core::PublicKey) -> Result<PublicKey> {
    match key {
        tpm_core::PublicKey::Rsa { n, e } => Ok(PublicKey::rsa(n, *e)?),
        tpm_core::PublicKey::Ecc { curve, x, y } => {
            let curve = match curve {
                Curve::P256 => ssh_format::Curve::NistP256,
                Curve::P384 => ssh_format::Curve::NistP384,
                Curve::P521 => ssh_format::Curve::NistP521,
            };
            Ok(PublicKey::ecdsa(curve, x, y)?)
        }
    }
}
