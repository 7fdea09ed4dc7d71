//! Keys of `ssh-keygen` that are to be imported into a TPM.

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

/// The fields of a public key; `None` for a type or size that no TPM holds. [`AnyKey`] has checked
/// their form.
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
            // An exponent that does not fit becomes 0, which is refused like all but 65537.
            let e = e.unwrap_or(0);
            // `PublicKey::key_type` counts bytes. A modulus whose top bit is clear has fewer bits.
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

/// The key with these numbers, after checking that they belong together.
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

#[cfg(test)]
mod tests {
    use ssh_format::wire::put_string;

    use super::*;

    /// An RSA key of SSH; neither number has a zero in front.
    fn rsa(e: &[u8], n: &[u8]) -> AnyKey {
        let mut blob = Vec::new();
        put_string(&mut blob, b"ssh-rsa");
        for number in [e, n] {
            let sign = (number[0] >= 0x80).then_some(0);
            let number: Vec<u8> = sign.into_iter().chain(number.iter().copied()).collect();
            put_string(&mut blob, &number);
        }
        AnyKey::from_blob(&blob).unwrap()
    }

    #[test]
    fn an_rsa_key_is_judged_by_its_public_half() {
        let n = |bytes: usize| [&[0x80_u8][..], &vec![1; bytes - 1]].concat();
        let e = [1, 0, 1];
        for (bytes, kind) in [(256, KeyType::Rsa2048), (384, KeyType::Rsa3072)] {
            let expected = PublicKey::Rsa {
                n: n(bytes),
                e: 65_537,
            };
            let found = tpm_public_key(&rsa(&e, &n(bytes))).unwrap();
            assert_eq!(found, Some((expected, kind)));
        }
        // Of 4096, 2040 and 2047 bits.
        let short = [&[0x7f][..], &[1; 255]].concat();
        for n in [n(512), n(255), short] {
            assert_eq!(tpm_public_key(&rsa(&e, &n)).unwrap(), None);
        }
        for e in [&[3][..], &[1, 0, 0, 0, 1], &[1, 0, 1, 0, 1]] {
            let err = tpm_public_key(&rsa(e, &n(256))).unwrap_err();
            let text = "key refused: its public exponent is not 65537";
            assert_eq!(err.to_string(), text, "{e:?}");
        }
    }

    /// The base point of P-256, SP 800-186 section 3.2.1.3, as an SSH key and parsed again.
    #[test]
    fn a_point_comes_back_as_it_was() {
        const X: &str = "6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296";
        const Y: &str = "4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5";
        let bytes = |hex| base16ct::lower::decode_vec(hex).unwrap();
        let key = PublicKey::Ecc {
            curve: Curve::P256,
            x: bytes(X),
            y: bytes(Y),
        };
        let line = crate::public_key(&key).unwrap().authorized_keys_line("me");
        let (ssh, _) = AnyKey::from_line(&line).unwrap();
        let found = tpm_public_key(&ssh).unwrap();
        assert_eq!(found, Some((key, KeyType::EccP256)));
    }
}
