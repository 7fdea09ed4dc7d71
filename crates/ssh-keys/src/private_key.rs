//! Keys of `ssh-keygen` that are to be brought into a TPM.

use ssh_format::{AnyKey, PrivateNumbers, wire::Reader};
use tpm_core::{Curve, Error, KeyType, PublicKey, Result, RsaNumbers, SoftwareKey};

/// The public key that a TPM gets, and its kind; `None` for a type or size that no TPM holds.
///
/// # Errors
///
/// [`Error::KeyRefused`] for a key that [`software_key`] refuses by its public half alone.
pub fn tpm_public_key(key: &AnyKey) -> Result<Option<(PublicKey, KeyType)>> {
    let Some(public) = parse(key) else {
        return Ok(None);
    };
    let Some(key_type) = public.key_type() else {
        return Ok(None);
    };
    SoftwareKey::check_public(&public)?;
    Ok(Some((public, key_type)))
}

/// The fields of a public key. All types with a curve or a modulus have an [`AnyKey`] that was
/// checked to be one.
fn parse(key: &AnyKey) -> Option<PublicKey> {
    let mut reader = Reader::new(key.blob(), "public key");
    let name = reader.string().ok()?;
    let curve = match name {
        b"ecdsa-sha2-nistp256" => Curve::P256,
        b"ecdsa-sha2-nistp384" => Curve::P384,
        b"ecdsa-sha2-nistp521" => Curve::P521,
        b"ssh-rsa" => {
            let (e, n) = (reader.mpint().ok()?, reader.mpint().ok()?.to_vec());
            let e = e.iter().try_fold(0_u32, |number, &byte| {
                number
                    .checked_mul(256)
                    .map(|number| number | u32::from(byte))
            });
            // One that is too long is refused like all but 65537; 0 is not one.
            let e = e.unwrap_or(0);
            // `PublicKey::key_type` counts bytes, and this one may have a bit less.
            let whole = n.first().is_some_and(|&first| first >= 0x80);
            return whole.then_some(PublicKey::Rsa { n, e });
        }
        _ => return None,
    };
    reader.string().ok()?;
    let (x, y) = match reader.string().ok()? {
        [4, point @ ..] if point.len() == 2 * curve.field_size() => {
            point.split_at(curve.field_size())
        }
        _ => return None,
    };
    let (x, y) = (x.to_vec(), y.to_vec());
    Some(PublicKey::Ecc { curve, x, y })
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
