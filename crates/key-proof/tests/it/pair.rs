//! Key pairs in software, of every kind that objects of a TPM can have.

use std::sync::OnceLock;

use p256::elliptic_curve::sec1::ToEncodedPoint;
use rand_core::OsRng;
use rsa::{Oaep, Pkcs1v15Sign, RsaPrivateKey, traits::PublicKeyParts};
use sha2::{Digest, Sha256, Sha384, Sha512};

use crate::der::{seq, tlv};

/// A key pair.
#[derive(Clone)]
pub(crate) enum Pair {
    P256(p256::SecretKey),
    P384(p384::SecretKey),
    P521(p521::SecretKey),
    Rsa(Box<RsaPrivateKey>),
}

/// The hash of a Name or of a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hash {
    Sha256,
    Sha384,
    Sha512,
}

impl Hash {
    pub(crate) fn of(self, data: &[u8]) -> Vec<u8> {
        match self {
            Self::Sha256 => Sha256::digest(data).to_vec(),
            Self::Sha384 => Sha384::digest(data).to_vec(),
            Self::Sha512 => Sha512::digest(data).to_vec(),
        }
    }

    /// `TPM_ALG_ID`.
    pub(crate) fn id(self) -> u16 {
        match self {
            Self::Sha256 => 0x0b,
            Self::Sha384 => 0x0c,
            Self::Sha512 => 0x0d,
        }
    }

    fn with_this_id(id: u16) -> Self {
        match id {
            0x0b => Self::Sha256,
            0x0c => Self::Sha384,
            _ => Self::Sha512,
        }
    }

    /// The Name of the object with this public area.
    pub(crate) fn name(public: &[u8]) -> Vec<u8> {
        let id = u16::from_be_bytes([public[2], public[3]]);
        Self::with_this_id(id).name_of(public)
    }

    /// This hash of `bytes` in the form of a Name.
    pub(crate) fn name_of(self, bytes: &[u8]) -> Vec<u8> {
        [&self.id().to_be_bytes()[..], &self.of(bytes)].concat()
    }
}

/// A signature as its numbers: one for RSA, two for a curve.
pub(crate) type Numbers = Vec<Vec<u8>>;

macro_rules! on_curve {
    ($curve:ident, $key:expr, $digest:expr) => {{
        use $curve::ecdsa::{Signature, SigningKey, signature::hazmat::PrehashSigner};
        let key = SigningKey::from_bytes(&$key.to_bytes()).unwrap();
        let signature: Signature = key.sign_prehash($digest).unwrap();
        let (r, s) = signature.split_bytes();
        vec![r.to_vec(), s.to_vec()]
    }};
}

impl Pair {
    pub(crate) fn p256() -> Self {
        Self::P256(p256::SecretKey::random(&mut OsRng))
    }

    pub(crate) fn p384() -> Self {
        Self::P384(p384::SecretKey::random(&mut OsRng))
    }

    pub(crate) fn p521() -> Self {
        Self::P521(p521::SecretKey::random(&mut OsRng))
    }

    /// An RSA key of 2048 bits. Each `number` has its own key, which is made only once, because that takes a second.
    pub(crate) fn rsa2048(number: usize) -> Self {
        static MADE: [OnceLock<RsaPrivateKey>; 4] = [const { OnceLock::new() }; 4];
        let key = MADE[number].get_or_init(|| RsaPrivateKey::new(&mut OsRng, 2048).unwrap());
        Self::Rsa(Box::new(key.clone()))
    }

    /// As [`Self::rsa2048`], with 3072 bits.
    pub(crate) fn rsa3072(number: usize) -> Self {
        static MADE: [OnceLock<RsaPrivateKey>; 2] = [const { OnceLock::new() }; 2];
        let key = MADE[number].get_or_init(|| RsaPrivateKey::new(&mut OsRng, 3072).unwrap());
        Self::Rsa(Box::new(key.clone()))
    }

    /// An RSA key of 1024 bits.
    pub(crate) fn weak_rsa() -> Self {
        Self::Rsa(Box::new(RsaPrivateKey::new(&mut OsRng, 1024).unwrap()))
    }

    /// The `SubjectPublicKeyInfo` of an RSA key with another algorithm, an OBJECT IDENTIFIER of the same length.
    pub(crate) fn with_algorithm(spki: &[u8], algorithm: &[u8]) -> Vec<u8> {
        let mut spki = spki.to_vec();
        let at = spki.windows(2).position(|it| it == [6, 9]).unwrap();
        spki[at..at + algorithm.len()].copy_from_slice(algorithm);
        spki
    }

    /// Parameters and unique field of a `TPMT_PUBLIC`.
    pub(crate) fn parameters(&self, symmetric: &[u8], scheme: &[u8]) -> Vec<u8> {
        let head = [symmetric, scheme].concat();
        match self {
            Self::Rsa(key) => {
                let n = key.n().to_bytes_be();
                let bits = u16::try_from(n.len() * 8).unwrap();
                [&head[..], &bits.to_be_bytes(), &[0; 4], &sized(&n)].concat()
            }
            _ => {
                let curve: &[u8] = match self {
                    Self::P256(_) => &[0, 3, 0, 0x10],
                    Self::P384(_) => &[0, 4, 0, 0x10],
                    _ => &[0, 5, 0, 0x10],
                };
                let (x, y) = self.point();
                [&head[..], curve, &sized(&x), &sized(&y)].concat()
            }
        }
    }

    pub(crate) fn is_rsa(&self) -> bool {
        matches!(self, Self::Rsa(_))
    }

    /// The modulus.
    pub(crate) fn modulus(&self) -> Vec<u8> {
        match self {
            Self::Rsa(key) => key.n().to_bytes_be(),
            _ => panic!("it is on a curve"),
        }
    }

    /// The point in the form of SEC 1.
    fn sec1(&self) -> Vec<u8> {
        match self {
            Self::P256(key) => key.public_key().to_encoded_point(false).as_bytes().to_vec(),
            Self::P384(key) => key.public_key().to_encoded_point(false).as_bytes().to_vec(),
            Self::P521(key) => key.public_key().to_encoded_point(false).as_bytes().to_vec(),
            Self::Rsa(_) => panic!("it is on no curve"),
        }
    }

    pub(crate) fn point(&self) -> (Vec<u8>, Vec<u8>) {
        let point = self.sec1();
        let (x, y) = point[1..].split_at((point.len() - 1) / 2);
        (x.to_vec(), y.to_vec())
    }

    /// PKCS#1 v1.5 or ECDSA.
    pub(crate) fn sign(&self, hash: Hash, message: &[u8]) -> Numbers {
        let digest = &hash.of(message)[..];
        match self {
            Self::P256(key) => on_curve!(p256, key, digest),
            Self::P384(key) => on_curve!(p384, key, digest),
            Self::P521(key) => on_curve!(p521, key, digest),
            Self::Rsa(key) => {
                let padding = match hash {
                    Hash::Sha256 => Pkcs1v15Sign::new::<Sha256>(),
                    Hash::Sha384 => Pkcs1v15Sign::new::<Sha384>(),
                    Hash::Sha512 => Pkcs1v15Sign::new::<Sha512>(),
                };
                vec![key.sign(padding, digest).unwrap()]
            }
        }
    }

    /// A `TPMT_SIGNATURE`.
    pub(crate) fn tpm_signature(&self, hash: Hash, message: &[u8]) -> Vec<u8> {
        let scheme: u16 = if self.is_rsa() { 0x14 } else { 0x18 };
        let head = [scheme.to_be_bytes(), hash.id().to_be_bytes()].concat();
        let numbers = self.sign(hash, message);
        let numbers: Vec<_> = numbers.iter().map(|it| sized(it)).collect();
        [head, numbers.concat()].concat()
    }

    /// A signature of a certificate, as the contents of its BIT STRING.
    pub(crate) fn x509_signature(&self, hash: Hash, message: &[u8]) -> Vec<u8> {
        let numbers = self.sign(hash, message);
        let bytes = match &numbers[..] {
            [signature] => signature.clone(),
            numbers => {
                let numbers: Vec<_> = numbers.iter().map(|it| integer(it)).collect();
                let numbers: Vec<&[u8]> = numbers.iter().map(Vec::as_slice).collect();
                seq(&numbers)
            }
        };
        [&[0][..], &bytes].concat()
    }

    /// The `SubjectPublicKeyInfo`.
    pub(crate) fn spki(&self) -> Vec<u8> {
        const EC: &[u8] = &[6, 7, 0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1];
        const RSA: &[u8] = &[6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1];
        let (algorithm, key) = match self {
            Self::Rsa(key) => {
                let numbers = seq(&[
                    &integer(&key.n().to_bytes_be()),
                    &integer(&key.e().to_bytes_be()),
                ]);
                (seq(&[RSA, &[5, 0]]), numbers)
            }
            _ => {
                let curve: &[u8] = match self {
                    Self::P256(_) => &[6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7],
                    Self::P384(_) => &[6, 5, 0x2b, 0x81, 4, 0, 0x22],
                    _ => &[6, 5, 0x2b, 0x81, 4, 0, 0x23],
                };
                (seq(&[EC, curve]), self.sec1())
            }
        };
        seq(&[&algorithm, &tlv(3, &[&[0][..], &key].concat())])
    }

    /// Decrypts the seed in the secret of a credential, as the TPM with this endorsement key does.
    pub(crate) fn seed(&self, hash: Hash, secret: &[u8]) -> Option<Vec<u8>> {
        macro_rules! agree {
            ($curve:ident, $key:expr, $size:literal) => {{
                let (their_x, their_y) = secret[2..].split_at($size);
                let theirs = [&[4][..], their_x, &their_y[2..]].concat();
                let theirs = $curve::PublicKey::from_sec1_bytes(&theirs).ok()?;
                let z = $curve::ecdh::diffie_hellman($key.to_nonzero_scalar(), theirs.as_affine());
                let parts: [&[u8]; 5] = [
                    &[0, 0, 0, 1],
                    z.raw_secret_bytes(),
                    b"IDENTITY\0",
                    their_x,
                    &self.point().0,
                ];
                Some(hash.of(&parts.concat()))
            }};
        }
        match self {
            Self::P256(key) => agree!(p256, key, 32),
            Self::P384(key) => agree!(p384, key, 48),
            Self::P521(_) => None,
            Self::Rsa(key) => {
                let padding = match hash {
                    Hash::Sha256 => Oaep::new_with_label::<Sha256, _>("IDENTITY\0"),
                    Hash::Sha384 => Oaep::new_with_label::<Sha384, _>("IDENTITY\0"),
                    Hash::Sha512 => Oaep::new_with_label::<Sha512, _>("IDENTITY\0"),
                };
                key.decrypt(padding, secret).ok()
            }
        }
    }
}

/// A `TPM2B_*`.
pub(crate) fn sized(bytes: &[u8]) -> Vec<u8> {
    let len = u16::try_from(bytes.len()).unwrap();
    [&len.to_be_bytes()[..], bytes].concat()
}

/// An INTEGER that is not negative.
pub(crate) fn integer(magnitude: &[u8]) -> Vec<u8> {
    let zeros = magnitude.iter().take_while(|it| **it == 0).count();
    let shortest = &magnitude[zeros..];
    let sign: &[u8] = match shortest.first() {
        Some(0x80..) | None => &[0],
        _ => &[],
    };
    tlv(2, &[sign, shortest].concat())
}
