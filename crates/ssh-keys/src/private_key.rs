//! Keys of `ssh-keygen` that are to be brought into a TPM.

use ssh_format::{AnyKey, PrivateNumbers, wire::Reader};
use tpm_core::{Curve, Error, KeyType, Result, RsaNumbers, SoftwareKey};

/// The kind of a public key in a TPM; `None` for one that is never brought into any.
#[must_use]
pub fn key_type(key: &AnyKey) -> Option<KeyType> {
    match key.algorithm() {
        "ecdsa-sha2-nistp256" => Some(KeyType::EccP256),
        "ecdsa-sha2-nistp384" => Some(KeyType::EccP384),
        "ecdsa-sha2-nistp521" => Some(KeyType::EccP521),
        "ssh-rsa" => match rsa_bits(key)? {
            2048 => Some(KeyType::Rsa2048),
            3072 => Some(KeyType::Rsa3072),
            _ => None,
        },
        _ => None,
    }
}

/// The size of an RSA key.
fn rsa_bits(key: &AnyKey) -> Option<usize> {
    let mut reader = Reader::new(key.blob(), "public key");
    reader.string().ok()?;
    reader.mpint().ok()?;
    let n = reader.mpint().ok()?;
    let zeros = usize::try_from(n.first()?.leading_zeros()).ok()?;
    Some(n.len() * 8 - zeros)
}

/// The key with these numbers, checked to be sound.
///
/// # Errors
///
/// Those of [`SoftwareKey::ecdsa`] and [`SoftwareKey::rsa`].
pub fn software_key(numbers: &PrivateNumbers<'_>) -> Result<SoftwareKey> {
    match *numbers {
        PrivateNumbers::Rsa {
            n,
            e,
            d,
            iqmp,
            p,
            q,
        } => SoftwareKey::rsa(&RsaNumbers {
            n,
            e,
            d,
            p,
            q,
            iqmp,
        }),
        PrivateNumbers::Ecdsa { curve, x, y, d } => {
            let curve = match curve {
                ssh_format::Curve::NistP256 => Curve::P256,
                ssh_format::Curve::NistP384 => Curve::P384,
                ssh_format::Curve::NistP521 => Curve::P521,
            };
            SoftwareKey::ecdsa(curve, d, x, y)
        }
        _ => Err(Error::KeyRefused("no TPM holds keys of its type")),
    }
}
