//! Keys in software that sign any bytes, of OpenSSH's types.

use std::sync::OnceLock;

use p256::ecdsa::signature::{SignatureEncoding, Signer};
use rsa::traits::PublicKeyParts;
use sha2::{Digest, Sha256, Sha512};
use ssh_format::Curve;
use ssh_format::wire::put_mpint;

use crate::tree::{Node, encode, raw, string};
use testing::differential::Random;

/// A key pair.
pub(crate) enum Secret {
    Ed25519(ed25519_dalek::SigningKey),
    P256(p256::ecdsa::SigningKey),
    P384(p384::ecdsa::SigningKey),
    P521(p521::ecdsa::SigningKey),
    Rsa(Box<rsa::RsaPrivateKey>),
    /// Of a security key.
    SkEd25519(ed25519_dalek::SigningKey),
    SkP256(p256::ecdsa::SigningKey),
}

const APPLICATION: &str = "ssh:";

/// Two keys of each type, the same in each run. The second half are the authorities.
pub(crate) fn all() -> &'static [Secret] {
    static ALL: OnceLock<Vec<Secret>> = OnceLock::new();
    ALL.get_or_init(|| {
        let mut random = Random::new(7);
        let ed25519 = |random: &mut Random| {
            let bytes: [u8; 32] = random.bytes(32).try_into().unwrap();
            ed25519_dalek::SigningKey::from_bytes(&bytes)
        };
        let mut all = Vec::new();
        for bits in [1024, 2048] {
            let rsa = rsa::RsaPrivateKey::new(&mut random, bits).unwrap();
            all.extend([
                Secret::Ed25519(ed25519(&mut random)),
                Secret::P256(p256::ecdsa::SigningKey::random(&mut random)),
                Secret::P384(p384::ecdsa::SigningKey::random(&mut random)),
                Secret::P521(p521::ecdsa::SigningKey::random(&mut random)),
                Secret::Rsa(Box::new(rsa)),
                Secret::SkEd25519(ed25519(&mut random)),
                Secret::SkP256(p256::ecdsa::SigningKey::random(&mut random)),
            ]);
        }
        all
    })
}

/// An `mpint` of a magnitude.
fn mpint(magnitude: &[u8]) -> Node {
    let mut out = Vec::new();
    put_mpint(&mut out, magnitude);
    string(&out[4..])
}

fn point(curve: Curve, point: &[u8]) -> [Node; 2] {
    [string(curve.to_string()), string(point)]
}

impl Secret {
    /// The name of its type.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Ed25519(_) => "ssh-ed25519",
            Self::P256(_) => "ecdsa-sha2-nistp256",
            Self::P384(_) => "ecdsa-sha2-nistp384",
            Self::P521(_) => "ecdsa-sha2-nistp521",
            Self::Rsa(_) => "ssh-rsa",
            Self::SkEd25519(_) => "sk-ssh-ed25519@openssh.com",
            Self::SkP256(_) => "sk-ecdsa-sha2-nistp256@openssh.com",
        }
    }

    /// The fields of its public half, without the name of its type.
    pub(crate) fn fields(&self) -> Vec<Node> {
        let sec1 = |point: &[u8], curve| -> Vec<Node> { self::point(curve, point).into() };
        match self {
            Self::Ed25519(key) => vec![string(key.verifying_key().as_bytes())],
            Self::SkEd25519(key) => {
                vec![string(key.verifying_key().as_bytes()), string(APPLICATION)]
            }
            Self::P256(key) => {
                let point = key.verifying_key().to_encoded_point(false);
                sec1(point.as_bytes(), Curve::NistP256)
            }
            Self::SkP256(key) => {
                let point = key.verifying_key().to_encoded_point(false);
                let mut fields = sec1(point.as_bytes(), Curve::NistP256);
                fields.push(string(APPLICATION));
                fields
            }
            Self::P384(key) => {
                let point = key.verifying_key().to_encoded_point(false);
                sec1(point.as_bytes(), Curve::NistP384)
            }
            Self::P521(key) => {
                let point = p521::ecdsa::VerifyingKey::from(key).to_encoded_point(false);
                sec1(point.as_bytes(), Curve::NistP521)
            }
            Self::Rsa(key) => vec![mpint(&key.e().to_bytes_be()), mpint(&key.n().to_bytes_be())],
        }
    }

    /// Its public half.
    pub(crate) fn public(&self) -> Vec<Node> {
        let mut nodes = vec![string(self.name())];
        nodes.extend(self.fields());
        nodes
    }

    /// Its signature over `message`: the name of the algorithm, then the signature itself.
    pub(crate) fn sign(&self, random: &mut Random, message: &[u8]) -> Vec<Node> {
        let numbers = |r: &[u8], s: &[u8]| Node::String(vec![mpint(r), mpint(s)]);
        let name = string(self.name());
        // Flags and a counter.
        let details = [&[1, 0, 0, 0][..], &[random.byte()]].concat();
        let by_key = [
            &Sha256::digest(APPLICATION)[..],
            &details,
            &Sha256::digest(message)[..],
        ]
        .concat();
        match self {
            Self::Ed25519(key) => vec![name, string(key.sign(message).to_bytes())],
            Self::SkEd25519(key) => {
                vec![name, string(key.sign(&by_key).to_bytes()), raw(details)]
            }
            Self::P256(key) => {
                let signature: p256::ecdsa::Signature = key.sign(message);
                let (r, s) = signature.split_bytes();
                vec![name, numbers(&r, &s)]
            }
            Self::SkP256(key) => {
                let signature: p256::ecdsa::Signature = key.sign(&by_key);
                let (r, s) = signature.split_bytes();
                vec![name, numbers(&r, &s), raw(details)]
            }
            Self::P384(key) => {
                let signature: p384::ecdsa::Signature = key.sign(message);
                let (r, s) = signature.split_bytes();
                vec![name, numbers(&r, &s)]
            }
            Self::P521(key) => {
                let signature: p521::ecdsa::Signature = key.sign(message);
                let (r, s) = signature.split_bytes();
                vec![name, numbers(&r, &s)]
            }
            Self::Rsa(key) => {
                let key = (**key).clone();
                let (name, signature) = match random.below(8) {
                    0 => ("ssh-rsa", sign_sha1(&key, message)),
                    1..=3 => {
                        let key = rsa::pkcs1v15::SigningKey::<Sha256>::new(key);
                        ("rsa-sha2-256", key.sign(message).to_vec())
                    }
                    _ => {
                        let key = rsa::pkcs1v15::SigningKey::<Sha512>::new(key);
                        ("rsa-sha2-512", key.sign(message).to_vec())
                    }
                };
                vec![string(name), string(signature)]
            }
        }
    }
}

fn sign_sha1(key: &rsa::RsaPrivateKey, message: &[u8]) -> Vec<u8> {
    let key = rsa::pkcs1v15::SigningKey::<sha1::Sha1>::new(key.clone());
    key.sign(message).to_vec()
}

/// Adds the order of the curve to the number S of an Ed25519 signature. A check that allows a large S
/// accepts it.
pub(crate) fn with_other_s(signature: &mut [Node]) {
    /// The order of the curve, least significant byte first (RFC 8032 section 5.1).
    const ORDER: [u8; 32] = [
        0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde,
        0x14, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
    ];
    let Some(Node::String(inner)) = signature.get_mut(1) else {
        return;
    };
    let mut bytes = encode(inner);
    if bytes.len() != 64 {
        return;
    }
    let mut carry = 0_u16;
    for (byte, add) in bytes[32..].iter_mut().zip(ORDER) {
        let sum = u16::from(*byte) + u16::from(add) + carry;
        *byte = sum.to_le_bytes()[0];
        carry = sum >> 8;
    }
    *inner = vec![raw(bytes)];
}
