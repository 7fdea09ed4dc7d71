//! Verification of RSA and ECDSA signatures, and key agreement for challenges.

use rsa::{BigUint, Pkcs1v15Sign, RsaPublicKey, pkcs1::DecodeRsaPublicKey, traits::PublicKeyParts};
use sha2::{Sha256, Sha384, Sha512};
use ssh_format::Curve;

use crate::HashAlg;

/// Whether `signature` is RSASSA-PKCS1-v1_5 by the key with modulus `n` over `message`.
pub(crate) fn rsa_verifies(
    n: &[u8],
    e: u32,
    hash: HashAlg,
    message: &[u8],
    signature: &[u8],
) -> bool {
    RsaPublicKey::new(BigUint::from_bytes_be(n), e.into())
        .is_ok_and(|key| rsa_key_verifies(&key, hash, message, signature))
}

/// As [`rsa_verifies`], for a key in the form of certificates (`RSAPublicKey`) with 2048 bits or more.
pub(crate) fn rsa_spki_verifies(
    key: &[u8],
    hash: HashAlg,
    message: &[u8],
    signature: &[u8],
) -> bool {
    RsaPublicKey::from_pkcs1_der(key)
        .is_ok_and(|key| key.n().bits() >= 2048 && rsa_key_verifies(&key, hash, message, signature))
}

fn rsa_key_verifies(key: &RsaPublicKey, hash: HashAlg, message: &[u8], signature: &[u8]) -> bool {
    let digest = hash.digest(&[message]);
    let padding = match hash {
        HashAlg::Sha256 => Pkcs1v15Sign::new::<Sha256>(),
        HashAlg::Sha384 => Pkcs1v15Sign::new::<Sha384>(),
        HashAlg::Sha512 => Pkcs1v15Sign::new::<Sha512>(),
    };
    key.verify(padding, &digest, signature).is_ok()
}

macro_rules! curve {
    ($verifies:ident, $spki_verifies:ident, $agree:ident, $curve:ident, $size:literal) => {
        fn $verifies(x: &[u8], y: &[u8], digest: &[u8], r: &[u8], s: &[u8]) -> Option<()> {
            use $curve::ecdsa::{Signature, VerifyingKey, signature::hazmat::PrehashVerifier};
            let field = |bytes: &[u8]| -> Option<$curve::FieldBytes> {
                let missing = $size - Some(bytes.len()).filter(|len| *len <= $size)?;
                let padded = [&vec![0; missing][..], bytes].concat();
                Some(*$curve::FieldBytes::from_slice(&padded))
            };
            let point =
                $curve::EncodedPoint::from_affine_coordinates(&field(x)?, &field(y)?, false);
            let key = VerifyingKey::from_encoded_point(&point).ok()?;
            let signature = Signature::from_scalars(field(r)?, field(s)?).ok()?;
            key.verify_prehash(digest, &signature).ok()
        }

        /// Whether `signature` (DER) is an ECDSA signature by the point in `key` (SEC 1) over `message`.
        pub(crate) fn $spki_verifies(
            key: &[u8],
            hash: HashAlg,
            message: &[u8],
            signature: &[u8],
        ) -> bool {
            use $curve::ecdsa::{Signature, VerifyingKey, signature::hazmat::PrehashVerifier};
            let (Ok(key), Ok(signature)) = (
                VerifyingKey::from_sec1_bytes(key),
                Signature::from_der(signature),
            ) else {
                return false;
            };
            let digest = hash.digest(&[message]);
            key.verify_prehash(&digest, &signature).is_ok()
        }

        /// The shared x coordinate with a new key, and that key's point; `None` if (x, y) is not
        /// on the curve.
        pub(crate) fn $agree(
            x: &[u8],
            y: &[u8],
            rng: &mut impl rand_core::CryptoRngCore,
        ) -> Option<(zeroize::Zeroizing<Vec<u8>>, Vec<u8>, Vec<u8>)> {
            use $curve::elliptic_curve::sec1::{FromEncodedPoint, ToEncodedPoint};
            if x.len() != $size || y.len() != $size {
                return None;
            }
            let point = $curve::EncodedPoint::from_affine_coordinates(
                $curve::FieldBytes::from_slice(x),
                $curve::FieldBytes::from_slice(y),
                false,
            );
            let public =
                Option::<$curve::PublicKey>::from($curve::PublicKey::from_encoded_point(&point))?;
            let ours = $curve::ecdh::EphemeralSecret::random(rng);
            let shared = ours.diffie_hellman(&public);
            let point = ours.public_key().to_encoded_point(false);
            let z = zeroize::Zeroizing::new(shared.raw_secret_bytes().to_vec());
            Some((z, point.x()?.to_vec(), point.y()?.to_vec()))
        }
    };
}

curve!(p256_verifies, p256_spki_verifies, p256_agree, p256, 32);
curve!(p384_verifies, p384_spki_verifies, p384_agree, p384, 48);

/// A faster check for P-256 with SHA-256. It can only accept: if it does not, the plain check decides.
///
/// # Source
///
/// FIPS 186-5, section 6.4.2.
#[cfg(feature = "fast-verify")]
fn p256_accepts(x: &[u8], y: &[u8], message: &[u8], r: &[u8], s: &[u8]) -> bool {
    use ring::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
    // 4 says that both coordinates follow (SEC 1, section 2.3.3).
    let mut point = [4; 65];
    let mut numbers = [0; 64];
    let (to_x, to_y) = point[1..].split_at_mut(32);
    let (to_r, to_s) = numbers.split_at_mut(32);
    for (to, from) in [(to_x, x), (to_y, y), (to_r, r), (to_s, s)] {
        let Some(missing) = to.len().checked_sub(from.len()) else {
            return false;
        };
        let (zeros, rest) = to.split_at_mut(missing);
        zeros.fill(0);
        rest.copy_from_slice(from);
    }
    let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point);
    key.verify(message, &numbers).is_ok()
}

/// Whether (r, s) is an ECDSA signature by the key (x, y) over `message`. Always `false` for P-521, because no attestation key that is
/// accepted is on that curve.
pub(crate) fn ecdsa_verifies(
    curve: Curve,
    (x, y): (&[u8], &[u8]),
    hash: HashAlg,
    message: &[u8],
    (r, s): (&[u8], &[u8]),
) -> bool {
    #[cfg(feature = "fast-verify")]
    if (curve, hash) == (Curve::NistP256, HashAlg::Sha256) && p256_accepts(x, y, message, r, s) {
        return true;
    }
    let digest = hash.digest(&[message]);
    match curve {
        Curve::NistP256 => p256_verifies(x, y, &digest, r, s).is_some(),
        Curve::NistP384 => p384_verifies(x, y, &digest, r, s).is_some(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A signature is refused for another key, hash, message or curve.
    #[test]
    fn a_signature_counts_on_its_own_curve_with_its_own_numbers() {
        macro_rules! check {
            ($curve:ident, $name:ident) => {{
                use $curve::ecdsa::{Signature, SigningKey, signature::hazmat::PrehashSigner};
                let key = SigningKey::random(&mut rand_core::OsRng);
                let point = key.verifying_key().to_encoded_point(false);
                let (x, y) = (point.x().expect("affine"), point.y().expect("affine"));
                let digest = HashAlg::Sha256.digest(&[b"message"]);
                let signature: Signature = key.sign_prehash(&digest).expect("a digest is signed");
                let (r, s) = signature.split_bytes();
                let verifies = |curve, message, r: &[u8], s: &[u8]| {
                    ecdsa_verifies(curve, (x, y), HashAlg::Sha256, message, (r, s))
                };
                assert!(verifies(Curve::$name, &b"message"[..], &r, &s));
                assert!(!verifies(Curve::$name, b"massage", &r, &s));
                assert!(!verifies(Curve::$name, b"message", &s, &r));
                let longer = [&[0][..], &r[..]].concat();
                assert!(!verifies(Curve::$name, b"message", &longer, &s));
                for other in [Curve::NistP256, Curve::NistP384, Curve::NistP521] {
                    let is_own = other == Curve::$name;
                    assert_eq!(verifies(other, b"message", &r, &s), is_own, "{other:?}");
                }
            }};
        }
        check!(p256, NistP256);
        check!(p384, NistP384);
    }
    /// The fast check agrees with the plain one, also for numbers of other lengths.
    #[cfg(feature = "fast-verify")]
    #[test]
    fn both_checks_of_p256_agree() {
        use p256::ecdsa::{Signature, SigningKey, signature::hazmat::PrehashSigner};
        let mut short = 0;
        for secret in 1..600_u32 {
            let mut bytes = [0; 32];
            bytes[28..].copy_from_slice(&secret.to_be_bytes());
            let key = SigningKey::from_slice(&bytes).expect("it is below the order");
            let point = key.verifying_key().to_encoded_point(false);
            let (x, y) = (point.x().expect("affine"), point.y().expect("affine"));
            let digest = HashAlg::Sha256.digest(&[&bytes]);
            let signature: Signature = key.sign_prehash(&digest).expect("a digest is signed");
            let (r, s) = signature.split_bytes();
            let bare = |bytes: &[u8]| {
                let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
                bytes[zeros..].to_vec()
            };
            let good = [bare(x), bare(y), bytes.to_vec(), bare(&r), bare(&s)];
            short += [0, 1, 3, 4]
                .map(|place| &good[place])
                .into_iter()
                .filter(|it| it.len() < 32)
                .count();
            let both = |of: &[Vec<u8>; 5]| {
                let [x, y, message, r, s] = of;
                let said = p256_accepts(x, y, message, r, s);
                let digest = HashAlg::Sha256.digest(&[message]);
                assert_eq!(said, p256_verifies(x, y, &digest, r, s).is_some());
                said
            };
            assert!(both(&good));
            let places = if secret < 20 { good.len() } else { 0 };
            for place in 0..places {
                let mut bad = good.clone();
                bad[place][7] ^= 1;
                assert!(!both(&bad));
                bad[place] = [&[0][..], &good[place]].concat();
                let is_short = place != 2 && good[place].len() < 32;
                assert_eq!(both(&bad), is_short, "{place}");
                bad[place].clear();
                assert!(!both(&bad));
            }
        }
        assert!(short > 0, "none had a leading zero");
    }
}
