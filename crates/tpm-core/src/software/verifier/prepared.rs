//! Checking many signatures of one key quickly.
//!
//! Each signature is checked before it is returned. For P-256 the plain check takes longer than all
//! other work of this crate for a signature. So a key that signs a second time is prepared. For a
//! curve that is a table of multiples of the generator and of the public key, with which a check
//! needs only additions. For RSA it is the constants of Montgomery multiplication. All values here
//! are public, so the time may depend on them. The tests compare each kind with
//! [`PublicKey::verify`].

mod larger_curves;
mod nist_p256;
mod rsa_key;
mod table;

use std::sync::{
    OnceLock,
    atomic::{AtomicBool, Ordering},
};

use crypto_bigint::{U2048, U3072};

use self::{
    larger_curves::{nist_p384, nist_p521},
    rsa_key::RsaKey,
};
use crate::{
    Curve, PublicKey, Scheme, Signature, software::padding, structures::public_key::pkcs1,
};

/// The tables of a key, computed at its second signature.
#[derive(Default)]
pub(super) struct Fast {
    used: AtomicBool,
    prepared: OnceLock<Prepared>,
}

impl Fast {
    /// Whether the signature is certainly valid. `false` does not mean that it is wrong: the caller
    /// then runs the plain check.
    ///
    /// Building the tables costs as much as several plain checks, so this returns `false` for the
    /// first signature.
    pub(super) fn accepts(
        &self,
        public: &PublicKey,
        scheme: Scheme,
        digest: &[u8],
        signature: &Signature,
    ) -> bool {
        if !self.used.swap(true, Ordering::Relaxed) {
            return false;
        }
        let prepared = self.prepared.get_or_init(|| Prepared::of(public));
        prepared.accepts(scheme, digest, signature)
    }
}

/// The tables or constants of a key.
enum Prepared {
    P256(Box<nist_p256::Key>),
    P384(Box<nist_p384::Key>),
    P521(Box<nist_p521::Key>),
    Rsa2048(Box<RsaKey<{ U2048::LIMBS }>>),
    Rsa3072(Box<RsaKey<{ U3072::LIMBS }>>),
    /// No table exists for this kind of key.
    Nothing,
}

impl Prepared {
    fn of(public: &PublicKey) -> Self {
        let prepared = match public {
            PublicKey::Rsa { n, e: 65_537 } => match n.len() {
                U2048::BYTES => RsaKey::new(U2048::from_be_slice(n)).map(Self::Rsa2048),
                U3072::BYTES => RsaKey::new(U3072::from_be_slice(n)).map(Self::Rsa3072),
                _ => None,
            },
            PublicKey::Rsa { .. } => None,
            PublicKey::Ecc { curve, x, y } => {
                let point = PublicKey::sec1(*curve, x, y);
                match curve {
                    Curve::P256 => nist_p256::Key::new(&point).map(Self::P256),
                    Curve::P384 => nist_p384::Key::new(&point).map(Self::P384),
                    Curve::P521 => nist_p521::Key::new(&point).map(Self::P521),
                }
            }
        };
        prepared.unwrap_or(Self::Nothing)
    }

    /// Whether the signature is certainly valid. Also `false` for keys and schemes without a table.
    fn accepts(&self, scheme: Scheme, digest: &[u8], signature: &Signature) -> bool {
        match (self, scheme, signature) {
            (Self::P256(key), Scheme::Ecdsa, Signature::Ecdsa { r, s }) => {
                key.accepts(&Curve::P256.fit_digest(digest), r, s)
            }
            (Self::P384(key), Scheme::Ecdsa, Signature::Ecdsa { r, s }) => {
                key.accepts(&Curve::P384.fit_digest(digest), r, s)
            }
            (Self::P521(key), Scheme::Ecdsa, Signature::Ecdsa { r, s }) => {
                key.accepts(&Curve::P521.fit_digest(digest), r, s)
            }
            (Self::Rsa2048(key), _, Signature::Rsa(bytes)) => {
                pkcs1_block(scheme, digest, U2048::BYTES)
                    .is_some_and(|block| key.power(bytes) == Some(block))
            }
            (Self::Rsa3072(key), _, Signature::Rsa(bytes)) => {
                pkcs1_block(scheme, digest, U3072::BYTES)
                    .is_some_and(|block| key.power(bytes) == Some(block))
            }
            _ => false,
        }
    }
}

/// The block that a valid signature of a PKCS#1 v1.5 scheme contains (RFC 8017, section 8.2.2);
/// `None` for other schemes, or if the digest does not fit.
fn pkcs1_block(scheme: Scheme, digest: &[u8], size: usize) -> Option<Vec<u8>> {
    let data = match scheme {
        Scheme::RsaPkcs1(hash) if digest.len() == hash.size() => {
            [&pkcs1(hash).prefix, digest].concat()
        }
        Scheme::RsaPkcs1Any => digest.to_vec(),
        _ => return None,
    };
    padding::pkcs1_sign(&data, size).ok()
}

#[cfg(test)]
mod tests {
    use ecdsa::signature::hazmat::PrehashSigner;
    use rand_core::OsRng;
    use rsa::traits::PublicKeyParts;

    use super::*;
    use crate::Hash;

    /// A key that has signed before.
    struct Verifier {
        public: PublicKey,
        fast: Fast,
    }

    impl Verifier {
        fn new(public: PublicKey) -> Self {
            let fast = Fast::default();
            fast.used.store(true, Ordering::Relaxed);
            Self { public, fast }
        }
    }

    /// Checks a signature with and without tables, and returns the result, which must be the same.
    fn verdict(verifier: &Verifier, scheme: Scheme, digest: &[u8], signature: &Signature) -> bool {
        let Verifier { public, fast } = verifier;
        let plain = public.verify(scheme, digest, signature);
        let accepts = fast.accepts(public, scheme, digest, signature);
        assert_eq!(plain, accepts, "{scheme:?} {digest:x?} {signature:x?}");
        accepts
    }

    macro_rules! agrees {
        ($test:ident, $curve:ident, $kind:expr) => {
            #[test]
            fn $test() {
                for round in 0..8_u8 {
                    let secret = $curve::ecdsa::SigningKey::random(&mut OsRng);
                    let verifying = $curve::ecdsa::VerifyingKey::from(&secret);
                    let point = verifying.to_encoded_point(false);
                    let verifier = Verifier::new(PublicKey::Ecc {
                        curve: $kind,
                        x: point.x().unwrap().to_vec(),
                        y: point.y().unwrap().to_vec(),
                    });
                    // Patterns with all kinds of digits: zero, the largest, and those with a carry.
                    let fill = [0x00, 0xff, 0x88, 0x89, 0x80, 0x11, 0xf8, 0x5a][usize::from(round)];
                    let digest = vec![fill; $kind.hash().size()];
                    let made: $curve::ecdsa::Signature = secret.sign_prehash(&digest).unwrap();
                    let (r, s) = made.split_bytes();
                    let good = Signature::Ecdsa {
                        r: r.to_vec(),
                        s: s.to_vec(),
                    };
                    assert!(verdict(&verifier, Scheme::Ecdsa, &digest, &good));

                    let mut other = digest.clone();
                    other[0] ^= 1;
                    assert!(!verdict(&verifier, Scheme::Ecdsa, &other, &good));
                    let zero = vec![0; r.len()];
                    let full = vec![0xff; r.len()];
                    for (r, s) in [
                        (zero.clone(), s.to_vec()),
                        (r.to_vec(), zero.clone()),
                        (full.clone(), s.to_vec()),
                        (r.to_vec(), full.clone()),
                        (s.to_vec(), r.to_vec()),
                        (Vec::new(), s.to_vec()),
                    ] {
                        let bad = Signature::Ecdsa { r, s };
                        assert!(!verdict(&verifier, Scheme::Ecdsa, &digest, &bad));
                    }
                }
            }
        };
    }

    agrees!(p256_says_the_same_when_prepared, p256, Curve::P256);
    agrees!(p384_says_the_same_when_prepared, p384, Curve::P384);

    /// The signing keys of the crate p521 0.13 have another interface, so this test computes the
    /// signature from its definition.
    #[test]
    fn p521_says_the_same_when_prepared() {
        use p521::elliptic_curve::{
            Field, PrimeField, ops::Reduce, point::AffineCoordinates, sec1::ToEncodedPoint,
        };
        for _ in 0..4 {
            let secret = p521::Scalar::random(&mut OsRng);
            let nonce = p521::Scalar::random(&mut OsRng);
            let public = (p521::ProjectivePoint::GENERATOR * secret).to_affine();
            let point = public.to_encoded_point(false);
            let verifier = Verifier::new(PublicKey::Ecc {
                curve: Curve::P521,
                x: point.x().unwrap().to_vec(),
                y: point.y().unwrap().to_vec(),
            });
            let digest = [0x89; 64];
            let field = ecdsa::hazmat::bits2field::<p521::NistP521>(&digest).unwrap();
            type Int = p521::elliptic_curve::bigint::U576;
            let z = <p521::Scalar as Reduce<Int>>::reduce_bytes(&field);
            let x = (p521::ProjectivePoint::GENERATOR * nonce).to_affine().x();
            let r = <p521::Scalar as Reduce<Int>>::reduce_bytes(&x);
            let s = Option::<p521::Scalar>::from(nonce.invert()).unwrap() * (z + r * secret);
            let good = Signature::Ecdsa {
                r: r.to_repr().to_vec(),
                s: s.to_repr().to_vec(),
            };
            assert!(verdict(&verifier, Scheme::Ecdsa, &digest, &good));
            assert!(!verdict(&verifier, Scheme::Ecdsa, &[0x88; 64], &good));
        }
    }

    #[test]
    fn rsa_says_the_same_when_prepared() {
        let secret = rsa::RsaPrivateKey::new(&mut OsRng, 2048).unwrap();
        let verifier = Verifier::new(PublicKey::Rsa {
            n: secret.n().to_bytes_be(),
            e: 65_537,
        });
        let digest = [0x5a; 32];
        let scheme = Scheme::RsaPkcs1(Hash::Sha256);
        let made = secret.sign(pkcs1(Hash::Sha256), &digest).unwrap();
        let good = Signature::Rsa(made.clone());
        assert!(verdict(&verifier, scheme, &digest, &good));
        assert!(!verdict(&verifier, scheme, &[0x5b; 32], &good));
        assert!(!verdict(&verifier, scheme, &digest[1..], &good));
        assert!(!verdict(
            &verifier,
            Scheme::RsaPkcs1(Hash::Sha384),
            &digest,
            &good
        ));
        assert!(!verdict(
            &verifier,
            Scheme::RsaPss(Hash::Sha256),
            &digest,
            &good
        ));
        let mut bad = made.clone();
        bad[255] ^= 1;
        assert!(!verdict(&verifier, scheme, &digest, &Signature::Rsa(bad)));
        for length in [0, 255, 257] {
            let mut bad = made.clone();
            bad.resize(length, 0);
            assert!(!verdict(&verifier, scheme, &digest, &Signature::Rsa(bad)));
        }
        // A number above the modulus is not a valid signature, even if it is the same modulo the
        // modulus.
        assert!(!verdict(
            &verifier,
            scheme,
            &digest,
            &Signature::Rsa(vec![0xff; 256])
        ));
    }

    #[test]
    fn a_first_signature_is_checked_without_preparing_anything() {
        let public = PublicKey::Rsa {
            n: vec![0xff; 256],
            e: 65_537,
        };
        let fast = Fast::default();
        let nothing = Signature::Rsa(vec![0; 256]);
        let scheme = Scheme::RsaPkcs1(Hash::Sha256);
        assert!(!fast.accepts(&public, scheme, &[0; 32], &nothing));
        assert!(fast.prepared.get().is_none());
        assert!(!fast.accepts(&public, scheme, &[0; 32], &nothing));
        assert!(fast.prepared.get().is_some());
    }
}
