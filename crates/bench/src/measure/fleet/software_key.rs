//! A key of P-256 in software that signs fast: hundreds of thousands of signatures are made for one figure.

use anyhow::{Context, Result};
use crrl::p256::PrivateKey;
use rand_core::OsRng;
use sha2::{Digest, Sha256};
use ssh_format::{AnyKey, Curve, PublicKey, Signature};

use crate::pair::{Pair, sized};

/// The begin of a `TPMT_SIGNATURE`: ECDSA with SHA-256.
const ECDSA_SHA256: [u8; 4] = [0, 0x18, 0, 0x0b];

/// A key of P-256. `crrl` signs several times as fast as `p256`.
#[derive(Clone)]
pub(super) struct SoftwareKey(PrivateKey);

impl SoftwareKey {
    pub(super) fn new() -> Self {
        Self(PrivateKey::generate(&mut OsRng))
    }

    pub(super) fn of(pair: &Pair) -> Result<Self> {
        let key = match pair {
            Pair::P256(key) => PrivateKey::decode(&key.to_bytes()),
            _ => None,
        };
        key.map(Self).context("it is no key of P-256")
    }

    /// The SSH key.
    pub(super) fn public(&self) -> Result<AnyKey> {
        let point = self.0.to_public_key().encode_uncompressed();
        let key = PublicKey::ecdsa(Curve::NistP256, &point[1..33], &point[33..])?;
        Ok(AnyKey::from_blob(key.blob())?)
    }

    /// r and s.
    fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign_hash(&Sha256::digest(message), &[])
    }

    /// The signature as SSH has it.
    pub(super) fn signature(&self, message: &[u8]) -> ssh_format::Result<Signature> {
        let numbers = self.sign(message);
        let (r, s) = numbers.split_at(32);
        Signature::ecdsa(Curve::NistP256, r, s)
    }

    /// The same as a `TPMT_SIGNATURE`.
    pub(super) fn tpm_signature(&self, message: &[u8]) -> Vec<u8> {
        let numbers = self.sign(message);
        let (r, s) = numbers.split_at(32);
        [&ECDSA_SHA256[..], &sized(r), &sized(s)].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pair::Hash;

    /// Both are deterministic (RFC 6979).
    #[test]
    fn it_signs_what_the_software_tpm_signs() {
        let pair = Pair::p256();
        let key = SoftwareKey::of(&pair).unwrap();
        let numbers = pair.sign(Hash::Sha256, b"text").concat();
        assert_eq!(key.sign(b"text").to_vec(), numbers);
        let expected = pair.tpm_signature(Hash::Sha256, b"text");
        assert_eq!(key.tpm_signature(b"text"), expected);
        let public = key.public().unwrap();
        public
            .verify(key.signature(b"text").unwrap().blob(), b"text")
            .unwrap();
    }
}
