//! The permissions that the owner of a key gave it. The chip sets the limits.

use tpm_core::{Hash, Pss, Scheme};

use super::MAX_VALUE_LEN;
use crate::{Error, Result};

/// The permissions that the owner of a key gave it. They are stored beside its blob. The chip does
/// not enforce them. This crate does, for the module, the agent and the program alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Permissions {
    /// Whether it signs.
    pub sign: bool,
    /// Whether it decrypts (RSA) or agrees on secrets (ECC). `None` in stores of older versions: then
    /// the chip's attribute decides.
    pub decrypt: Option<bool>,
    /// The mechanisms that it may be used with; `None` for all of its type.
    pub mechanisms: Option<Mechanisms>,
    /// Whether each use asks for the PIN again. The callers of this crate enforce that.
    pub always_authenticate: bool,
}

/// The mechanisms that a key may be used with (`CKA_ALLOWED_MECHANISMS`), as PKCS#11 numbers them
/// (`CK_MECHANISM_TYPE`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mechanisms(Vec<u64>);

/// The mechanisms that this crate has to know, with their numbers in PKCS#11 3.1.
mod number {
    pub(super) const RSA_PKCS: u64 = 0x1;
    pub(super) const RSA_X_509: u64 = 0x3;
    pub(super) const SHA1_RSA_PKCS: u64 = 0x6;
    pub(super) const RSA_PKCS_OAEP: u64 = 0x9;
    pub(super) const RSA_PKCS_PSS: u64 = 0xd;
    pub(super) const SHA1_RSA_PKCS_PSS: u64 = 0xe;
    pub(super) const SHA256_RSA_PKCS: u64 = 0x40;
    pub(super) const SHA384_RSA_PKCS: u64 = 0x41;
    pub(super) const SHA512_RSA_PKCS: u64 = 0x42;
    pub(super) const SHA256_RSA_PKCS_PSS: u64 = 0x43;
    pub(super) const SHA384_RSA_PKCS_PSS: u64 = 0x44;
    pub(super) const SHA512_RSA_PKCS_PSS: u64 = 0x45;
    pub(super) const ECDSA: u64 = 0x1041;
    pub(super) const ECDSA_SHA1: u64 = 0x1042;
    pub(super) const ECDSA_SHA256: u64 = 0x1044;
    pub(super) const ECDSA_SHA384: u64 = 0x1045;
    pub(super) const ECDSA_SHA512: u64 = 0x1046;
    pub(super) const ECDH1_DERIVE: u64 = 0x1050;
}

impl Mechanisms {
    /// These, in their order.
    #[must_use]
    pub fn new(numbers: Vec<u64>) -> Self {
        Self(numbers)
    }

    /// The numbers.
    #[must_use]
    pub fn numbers(&self) -> &[u64] {
        &self.0
    }

    /// Whether `number` is one of them.
    #[must_use]
    pub fn contain(&self, number: u64) -> bool {
        self.0.contains(&number)
    }

    /// Whether one of them makes such a signature over a digest of this length, in bytes.
    pub(crate) fn sign(&self, scheme: Scheme, digest: usize) -> bool {
        let any = |numbers: &[u64]| numbers.iter().any(|number| self.contain(*number));
        match scheme {
            Scheme::RsaPkcs1Any => any(&[number::RSA_PKCS, number::RSA_X_509]),
            Scheme::RsaPkcs1(hash) => any(&[
                number::RSA_PKCS,
                number::RSA_X_509,
                match hash {
                    Hash::Sha1 => number::SHA1_RSA_PKCS,
                    Hash::Sha256 => number::SHA256_RSA_PKCS,
                    Hash::Sha384 => number::SHA384_RSA_PKCS,
                    Hash::Sha512 => number::SHA512_RSA_PKCS,
                },
            ]),
            Scheme::RsaPss(hash) | Scheme::RsaPssWith(Pss { hash, .. }) => any(&[
                number::RSA_PKCS_PSS,
                match hash {
                    Hash::Sha1 => number::SHA1_RSA_PKCS_PSS,
                    Hash::Sha256 => number::SHA256_RSA_PKCS_PSS,
                    Hash::Sha384 => number::SHA384_RSA_PKCS_PSS,
                    Hash::Sha512 => number::SHA512_RSA_PKCS_PSS,
                },
            ]),
            // The scheme takes any digest; those of a hash have its length.
            Scheme::Ecdsa => {
                let hashed = match digest {
                    20 => number::ECDSA_SHA1,
                    32 => number::ECDSA_SHA256,
                    48 => number::ECDSA_SHA384,
                    64 => number::ECDSA_SHA512,
                    _ => number::ECDSA,
                };
                any(&[number::ECDSA, hashed])
            }
        }
    }

    /// Whether one of them decrypts with RSA.
    pub(crate) fn decrypt(&self) -> bool {
        self.contain(number::RSA_PKCS)
            || self.contain(number::RSA_PKCS_OAEP)
            || self.contain(number::RSA_X_509)
    }

    /// Whether one of them agrees on a secret.
    pub(crate) fn agree(&self) -> bool {
        self.contain(number::ECDH1_DERIVE)
    }

    /// The numbers, 8 bytes each, big-endian.
    ///
    /// # Errors
    ///
    /// [`Error::TooLong`].
    pub(super) fn encode(&self) -> Result<Vec<u8>> {
        let bytes: Vec<u8> = self.0.iter().flat_map(|n| n.to_be_bytes()).collect();
        if bytes.len() > MAX_VALUE_LEN {
            return Err(Error::TooLong {
                what: "list of mechanisms",
                max: MAX_VALUE_LEN,
            });
        }
        Ok(bytes)
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        if bytes.len() > MAX_VALUE_LEN {
            return None;
        }
        let numbers = bytes
            .chunks(8)
            .map(|number| number.try_into().map(u64::from_be_bytes));
        numbers.collect::<Result<_, _>>().map(Self).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_read_as_it_was_written() {
        let list = Mechanisms::new(vec![0x43, 0x8000_0001]);
        let bytes = list.encode().expect("it is short");
        assert_eq!(Mechanisms::decode(&bytes), Some(list));
        assert_eq!(Mechanisms::decode(&bytes[1..]), None);
        assert_eq!(Mechanisms::decode(&[]), Some(Mechanisms::new(Vec::new())));
    }

    #[test]
    fn a_mechanism_allows_the_signatures_that_it_makes_and_no_others() {
        const ALL: [Hash; 4] = [Hash::Sha1, Hash::Sha256, Hash::Sha384, Hash::Sha512];
        let signatures = |number| {
            let list = Mechanisms::new(vec![number]);
            let mut made = Vec::new();
            for hash in ALL {
                for scheme in [
                    Scheme::RsaPkcs1(hash),
                    Scheme::RsaPss(hash),
                    Scheme::RsaPkcs1Any,
                    Scheme::Ecdsa,
                ] {
                    if list.sign(scheme, hash.size()) {
                        made.push((scheme, hash));
                    }
                }
            }
            made
        };
        let sha256 = Hash::Sha256;
        assert_eq!(signatures(0x40), [(Scheme::RsaPkcs1(sha256), sha256)]);
        assert_eq!(signatures(0x43), [(Scheme::RsaPss(sha256), sha256)]);
        assert_eq!(signatures(0x1044), [(Scheme::Ecdsa, sha256)]);
        assert_eq!(signatures(0x1041).len(), ALL.len());
        assert_eq!(signatures(number::RSA_PKCS).len(), 2 * ALL.len());
        assert_eq!(signatures(number::RSA_PKCS_OAEP), []);
        assert_eq!(signatures(number::ECDH1_DERIVE), []);
    }
}
