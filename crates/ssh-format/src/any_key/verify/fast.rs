//! Signatures of P-256, the curve of most keys, by a crate that is several times as fast as `p256`.

use ring::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};

/// Whether (r, s), one after the other in 32 bytes each, is a signature by the key `point` (SEC 1, uncompressed) over the SHA-256 of `message`.
///
/// It can only accept: a caller that gets `false` asks the plain check, so that nothing depends on whether both refuse for the same reason.
///
/// # Source
///
/// FIPS 186-5, section 6.4.2.
pub(super) fn accepts(point: &[u8], message: &[u8], numbers: &[u8]) -> bool {
    let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point);
    key.verify(message, numbers).is_ok()
}

#[cfg(test)]
mod tests {
    use p256::ecdsa::signature::{Signer, Verifier};
    use p256::ecdsa::{Signature, SigningKey, VerifyingKey};
    use p256::elliptic_curve::PrimeField;
    use p256::elliptic_curve::ops::Reduce;
    use p256::{FieldBytes, Scalar};
    use proptest::prelude::*;
    use sha2::{Digest, Sha256};

    use super::*;

    /// The order of the group, FIPS 186-4 section D.1.2.3.
    const ORDER: [u8; 32] = [
        0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc,
        0xe6, 0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
    ];

    const MESSAGE: &[u8] = b"message";

    fn plain(point: &[u8], message: &[u8], numbers: &[u8]) -> bool {
        let key = VerifyingKey::from_sec1_bytes(point);
        let signature = Signature::from_slice(numbers);
        key.and_then(|key| key.verify(message, &signature?)).is_ok()
    }

    /// Both say the same; what they say.
    #[track_caller]
    fn both(point: &[u8], message: &[u8], numbers: &[u8]) -> bool {
        let said = accepts(point, message, numbers);
        assert_eq!(said, plain(point, message, numbers));
        said
    }

    fn point(key: &SigningKey) -> Vec<u8> {
        key.verifying_key()
            .to_encoded_point(false)
            .as_bytes()
            .to_vec()
    }

    proptest! {
        #[test]
        fn both_checks_agree(secret in 1..u64::MAX, message: [u8; 32], flips in prop::collection::vec((0..161_usize, 1..=255_u8), 0..3)) {
            let mut bytes = [0; 32];
            bytes[24..].copy_from_slice(&secret.to_be_bytes());
            let key = SigningKey::from_slice(&bytes).unwrap();
            let signature: Signature = key.sign(&message);
            let mut all = [&point(&key)[..], &message, &signature.to_bytes()].concat();
            let before = all.clone();
            for (at, with) in flips {
                all[at] ^= with;
            }
            let said = both(&all[..65], &all[65..97], &all[97..]);
            prop_assert_eq!(said, all == before);
        }

        #[test]
        fn both_refuse_what_nobody_signed(point: [u8; 65], message: [u8; 32], numbers: [u8; 64]) {
            prop_assert!(!both(&point, &message, &numbers));
        }
    }

    /// The numbers that an attacker would try: 0, 1, the order and those around it, in each place.
    #[test]
    fn both_agree_at_the_ends_of_the_range() {
        let key = SigningKey::from_slice(&[7; 32]).unwrap();
        let signature: Signature = key.sign(MESSAGE);
        let good = signature.to_bytes().to_vec();
        assert!(both(&point(&key), MESSAGE, &good));
        let one = |last: u8| {
            let mut bytes = [0; 32];
            bytes[31] = last;
            bytes
        };
        let (mut below, mut above) = (ORDER, ORDER);
        below[31] -= 1;
        above[31] += 1;
        let ends = [one(0), one(1), below, ORDER, above, [0xff; 32]];
        for end in ends {
            for place in [0, 32] {
                let mut bad = good.clone();
                bad[place..place + 32].copy_from_slice(&end);
                assert!(!both(&point(&key), MESSAGE, &bad));
            }
            for other in ends {
                assert!(!both(&point(&key), MESSAGE, &[end, other].concat()));
            }
        }
        // The other s of the same signature is as good (FIPS 186-5 has no rule against it).
        let other = Signature::from_scalars(
            signature.r().to_bytes(),
            (-*signature.s().as_ref()).to_bytes(),
        );
        assert!(both(&point(&key), MESSAGE, &other.unwrap().to_bytes()));
    }

    /// Sums that a wrong addition of points gets wrong: u1 G + u2 Q is neutral, or both are the same point.
    #[test]
    fn both_agree_where_the_points_meet() {
        let h = <Scalar as Reduce<p256::U256>>::reduce_bytes(&Sha256::digest(MESSAGE));
        for nonce in [1, 2, 99, 123_456_u64] {
            let nonce = Scalar::from(nonce);
            let x = (p256::ProjectivePoint::GENERATOR * nonce).to_affine();
            let x = p256::elliptic_curve::point::AffineCoordinates::x(&x);
            let r = <Scalar as Reduce<p256::U256>>::reduce_bytes(&FieldBytes::from(x));
            let same = h * r.invert().unwrap();
            for (secret, is_good) in [(same, true), (-same, false)] {
                let key = SigningKey::from_bytes(&secret.to_repr()).unwrap();
                // h + r d is twice h, or 0.
                let s = nonce.invert().unwrap() * (h + r * secret);
                let s = if is_good { s } else { Scalar::from(5_u64) };
                let numbers = [r.to_repr(), s.to_repr()].concat();
                assert_eq!(both(&point(&key), MESSAGE, &numbers), is_good);
            }
        }
    }

    #[test]
    fn both_agree_for_the_ends_of_the_private_keys() {
        for secret in [Scalar::ONE, -Scalar::ONE, Scalar::from(2_u64)] {
            let key = SigningKey::from_bytes(&secret.to_repr()).unwrap();
            let signature: Signature = key.sign(MESSAGE);
            assert!(both(&point(&key), MESSAGE, &signature.to_bytes()));
        }
    }

    #[test]
    fn a_point_in_another_form_is_left_to_the_plain_check() {
        let key = SigningKey::from_slice(&[7; 32]).unwrap();
        let signature: Signature = key.sign(MESSAGE);
        let compressed = key.verifying_key().to_encoded_point(true);
        for point in [compressed.as_bytes(), &[0], &[]] {
            assert!(!accepts(point, MESSAGE, &signature.to_bytes()));
        }
    }
}
