//! The kinds of keys, hashes, schemes and signatures.

use std::{fmt, str::FromStr};

use tpm_wire::algorithm;

use crate::{Error, Name, Result};

/// The kinds of key that are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum KeyType {
    /// RSA with a modulus of 2048 bits.
    Rsa2048,
    /// RSA with a modulus of 3072 bits.
    Rsa3072,
    /// ECDSA on NIST P-256.
    EccP256,
    /// ECDSA on NIST P-384.
    EccP384,
    /// ECDSA on NIST P-521.
    EccP521,
}

impl KeyType {
    /// All of them, the usual one first.
    pub const ALL: [Self; 5] = [
        Self::EccP256,
        Self::EccP384,
        Self::EccP521,
        Self::Rsa2048,
        Self::Rsa3072,
    ];

    /// The name, as [`KeyType::from_str`] reads it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Rsa2048 => "rsa2048",
            Self::Rsa3072 => "rsa3072",
            Self::EccP256 => "ecdsa-p256",
            Self::EccP384 => "ecdsa-p384",
            Self::EccP521 => "ecdsa-p521",
        }
    }

    /// The size of the modulus or curve in bits.
    #[must_use]
    pub const fn bits(self) -> u16 {
        match self {
            Self::Rsa2048 => 2048,
            Self::Rsa3072 => 3072,
            Self::EccP256 => 256,
            Self::EccP384 => 384,
            Self::EccP521 => 521,
        }
    }

    /// Whether this is an RSA key.
    #[must_use]
    pub const fn is_rsa(self) -> bool {
        matches!(self, Self::Rsa2048 | Self::Rsa3072)
    }
}

impl fmt::Display for KeyType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for KeyType {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        Self::ALL
            .into_iter()
            .find(|key_type| key_type.name() == name)
            .ok_or(Error::InvalidArgument("no such key type"))
    }
}

/// The curves of ECDSA keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Curve {
    /// NIST P-256 (secp256r1).
    P256,
    /// NIST P-384 (secp384r1).
    P384,
    /// NIST P-521 (secp521r1).
    P521,
}

impl Curve {
    /// The length of a coordinate in bytes.
    #[must_use]
    pub const fn field_size(self) -> usize {
        match self {
            Self::P256 => 32,
            Self::P384 => 48,
            Self::P521 => 66,
        }
    }

    /// The curve of a `TPM_ECC_CURVE` (part 2, section 6.4).
    pub(crate) fn from_id(id: u16) -> Result<Self> {
        match id {
            0x0003 => Ok(Self::P256),
            0x0004 => Ok(Self::P384),
            0x0005 => Ok(Self::P521),
            _ => Err(Error::KeyRefused("its curve is not P-256, P-384 or P-521")),
        }
    }

    /// The `TPM_ECC_CURVE`.
    pub(crate) const fn id(self) -> u16 {
        match self {
            Self::P256 => 0x0003,
            Self::P384 => 0x0004,
            Self::P521 => 0x0005,
        }
    }

    /// The hash whose length a digest for this curve is brought to.
    pub(crate) const fn hash(self) -> Hash {
        match self {
            Self::P256 => Hash::Sha256,
            Self::P384 => Hash::Sha384,
            Self::P521 => Hash::Sha512,
        }
    }

    /// Brings a coordinate to the length of the field, with zeros in front.
    pub(crate) fn pad(self, bytes: &[u8]) -> Result<Vec<u8>> {
        let missing = self
            .field_size()
            .checked_sub(bytes.len())
            .filter(|_| !bytes.is_empty())
            .ok_or(Error::KeyRefused("its coordinates do not fit its curve"))?;
        Ok([&vec![0; missing][..], bytes].concat())
    }

    /// Brings a digest of any length to the one that the chip takes with this curve, without
    /// changing the number that ECDSA makes of it: a longer digest is cut on the right, a shorter
    /// one gets zeros in front.
    ///
    /// # Source
    ///
    /// FIPS 186-4, section 6.4: the leftmost bits of the hash, as an integer.
    pub(crate) fn fit_digest(self, digest: &[u8]) -> Vec<u8> {
        let size = self.hash().size();
        let digest = &digest[..digest.len().min(size)];
        let mut out = vec![0; size];
        out[size - digest.len()..].copy_from_slice(digest);
        out
    }
}

/// The uses of a key besides signing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub struct Usage {
    /// RSA: decrypting. ECC: agreeing on a secret (ECDH).
    pub decrypt: bool,
}

impl Usage {
    /// Only signing, as for an SSH key.
    pub const SIGN: Self = Self { decrypt: false };
    /// Signing and decrypting (RSA) or key agreement (ECC).
    pub const SIGN_DECRYPT: Self = Self { decrypt: true };

    /// Signing, and also decrypting or key agreement if `decrypt` is true.
    #[must_use]
    pub const fn sign_and(decrypt: bool) -> Self {
        Self { decrypt }
    }
}

/// The hashes for signatures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Hash {
    /// SHA-1, for old peers. tpmssh itself never chooses it.
    Sha1,
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

impl Hash {
    /// The length of a digest in bytes.
    #[must_use]
    pub const fn size(self) -> usize {
        match self {
            Self::Sha1 => 20,
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }

    /// The `TPM_ALG_ID`.
    pub(crate) const fn id(self) -> u16 {
        match self {
            Self::Sha1 => algorithm::SHA1,
            Self::Sha256 => algorithm::SHA256,
            Self::Sha384 => algorithm::SHA384,
            Self::Sha512 => algorithm::SHA512,
        }
    }
}

/// A signature scheme.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// RSASSA-PKCS1-v1_5 over a digest of this hash.
    RsaPkcs1(Hash),
    /// The padding of RSASSA-PKCS1-v1_5 around any data, such as the two digests of TLS 1.1. The
    /// key needs [`Usage::SIGN_DECRYPT`].
    RsaPkcs1Any,
    /// RSASSA-PSS over a digest of this hash, with MGF1 of the same hash and a salt of the same
    /// length. Some older chips make longer salts. There the key needs [`Usage::SIGN_DECRYPT`].
    RsaPss(Hash),
    /// RSASSA-PSS with any salt and mask. No chip lets its caller choose them, so the padding is
    /// made in software, and only keys with [`Usage::SIGN_DECRYPT`] do this.
    RsaPssWith(Pss),
    /// ECDSA over a digest of any length.
    Ecdsa,
}

/// The parameters of RSASSA-PSS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Pss {
    /// The hash of the message.
    pub hash: Hash,
    /// The hash of MGF1, which makes the mask.
    pub mgf: Hash,
    /// The length of the salt in bytes.
    pub salt: usize,
}

impl Pss {
    /// One hash for everything, and a salt as long as it.
    #[must_use]
    pub const fn new(hash: Hash) -> Self {
        Self {
            hash,
            mgf: hash,
            salt: hash.size(),
        }
    }

    /// The longest salt that fits into a signature of `size` bytes, in bytes.
    #[must_use]
    pub const fn max_salt(hash: Hash, size: usize) -> usize {
        size.saturating_sub(hash.size() + 2)
    }
}

/// A signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Signature {
    /// As long as the modulus, most significant byte first.
    Rsa(Vec<u8>),
    /// Two integers, each padded to [`Curve::field_size`].
    Ecdsa {
        /// The first integer.
        r: Vec<u8>,
        /// The second.
        s: Vec<u8>,
    },
}

/// The stored form of an object. Only the chip that made it can decrypt the private part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blob {
    /// The `TPMT_PUBLIC`.
    pub public: Vec<u8>,
    /// The contents of the `TPM2B_PRIVATE`, encrypted by the chip.
    pub private: Vec<u8>,
}

impl Blob {
    /// The Name, which is the hash of the public part.
    #[must_use]
    pub fn name(&self) -> Name {
        Name::of_public(&self.public)
    }

    /// Refuses a private part with a length that no chip makes, before it is sent.
    pub(crate) fn check_private(&self) -> Result<()> {
        // The shortest has an integrity digest and little data; the longest fits in a command.
        if (36..=2048).contains(&self.private.len()) {
            Ok(())
        } else {
            Err(Error::Malformed("private part of a key"))
        }
    }
}
