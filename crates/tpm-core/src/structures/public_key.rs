//! Public keys: read from public areas, and used to verify signatures in software.

use ecdsa::signature::hazmat::PrehashVerifier;
use rsa::{BigUint, Pkcs1v15Sign, Pss, RsaPublicKey};
use sha1::Sha1;
use sha2::{Sha256, Sha384, Sha512};
use tpm_wire::{Reader, algorithm, roca};

use crate::{Curve, Error, Hash, KeyType, Result, Scheme, Signature, software::padding};

/// A public key.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum PublicKey {
    /// RSA.
    Rsa {
        /// The modulus, most significant byte first, without leading zeros.
        n: Vec<u8>,
        /// The public exponent.
        e: u32,
    },
    /// A point on a NIST curve.
    Ecc {
        /// The curve.
        curve: Curve,
        /// The x coordinate, most significant byte first, padded to [`Curve::field_size`].
        x: Vec<u8>,
        /// The y coordinate, likewise.
        y: Vec<u8>,
    },
}

impl PublicKey {
    /// The public key in a `TPMT_PUBLIC`.
    ///
    /// # Errors
    ///
    /// [`Error::Malformed`] if `public` is not exactly one RSA or ECC public area;
    /// [`Error::KeyRefused`] for a weak key or a point that is not on its curve.
    pub(crate) fn from_public_area(public: &[u8]) -> Result<Self> {
        let mut reader = Reader::new(public, "public area");
        let algorithm = reader.u16()?;
        reader.take(6)?;
        reader.sized()?;
        if reader.u16()? != algorithm::NULL {
            reader.take(4)?;
        }
        // Other schemes have parameters. Keys of this crate have none.
        if reader.u16()? != algorithm::NULL {
            return Err(Error::KeyRefused("its scheme is fixed"));
        }
        let key = match algorithm {
            algorithm::RSA => {
                let bits = reader.u16()?;
                let e = match reader.u32()? {
                    0 => 65_537,
                    e => e,
                };
                let n = reader.sized()?.to_vec();
                if n.len() * 8 != usize::from(bits) || n.first().is_none_or(|&top| top < 0x80) {
                    return Err(Error::KeyRefused("its modulus is not as long as it claims"));
                }
                Self::Rsa { n, e }
            }
            algorithm::ECC => {
                let curve = Curve::from_id(reader.u16()?)?;
                if reader.u16()? != algorithm::NULL {
                    return Err(Error::KeyRefused("its key derivation is fixed"));
                }
                let x = curve.pad(reader.sized()?)?;
                let y = curve.pad(reader.sized()?)?;
                Self::Ecc { curve, x, y }
            }
            _ => return Err(Error::Malformed("public area")),
        };
        reader.finish()?;
        key.check()?;
        Ok(key)
    }

    /// Refuses keys that are known to be weak, points off their curve, RSA keys above 4096 bits, and
    /// numbers that are not an RSA key: an even modulus or exponent, the exponent 1.
    ///
    /// # Errors
    ///
    /// [`Error::KeyRefused`] with the reason.
    pub fn check(&self) -> Result<()> {
        match self {
            Self::Rsa { n, .. } if n.len() < 256 => {
                Err(Error::KeyRefused("RSA keys below 2048 bits are weak"))
            }
            Self::Rsa { n, .. } if n.len() > 512 => Err(Error::KeyRefused(
                "RSA keys above 4096 bits are not supported",
            )),
            Self::Rsa { n, e }
                if RsaPublicKey::new(BigUint::from_bytes_be(n), (*e).into()).is_err() =>
            {
                Err(Error::KeyRefused(
                    "no RSA key has this modulus and exponent",
                ))
            }
            Self::Rsa { n, .. } if roca::is_vulnerable(n) => Err(Error::KeyRefused(
                "its RSA modulus has the ROCA weakness (CVE-2017-15361)",
            )),
            Self::Rsa { .. } => Ok(()),
            Self::Ecc { curve, x, y } => {
                let point = Self::sec1(*curve, x, y);
                let on_curve = match curve {
                    Curve::P256 => p256::PublicKey::from_sec1_bytes(&point).is_ok(),
                    Curve::P384 => p384::PublicKey::from_sec1_bytes(&point).is_ok(),
                    Curve::P521 => p521::PublicKey::from_sec1_bytes(&point).is_ok(),
                };
                if on_curve {
                    Ok(())
                } else {
                    Err(Error::KeyRefused("its point is not on the curve"))
                }
            }
        }
    }

    /// The uncompressed point of SEC 1, section 2.3.3: `04`, x, y.
    pub(crate) fn sec1(curve: Curve, x: &[u8], y: &[u8]) -> Vec<u8> {
        let size = curve.field_size();
        let mut point = vec![0; 1 + 2 * size];
        point[0] = 4;
        for (part, end) in [(x, 1 + size), (y, 1 + 2 * size)] {
            let part = &part[part.len().saturating_sub(size)..];
            point[end - part.len()..end].copy_from_slice(part);
        }
        point
    }

    /// The type of the key; `None` if this crate makes no such keys.
    #[must_use]
    pub fn key_type(&self) -> Option<KeyType> {
        match self {
            Self::Rsa { n, .. } => match n.len() {
                256 => Some(KeyType::Rsa2048),
                384 => Some(KeyType::Rsa3072),
                _ => None,
            },
            Self::Ecc {
                curve: Curve::P256, ..
            } => Some(KeyType::EccP256),
            Self::Ecc {
                curve: Curve::P384, ..
            } => Some(KeyType::EccP384),
            Self::Ecc {
                curve: Curve::P521, ..
            } => Some(KeyType::EccP521),
        }
    }

    /// The public RSA operation on `block`, which must be as long as the modulus and smaller than
    /// it. The result is as long. `None` for another block, for an ECC key, and for an exponent or
    /// modulus that no key has: with the exponent 1 the result would be `block` itself.
    #[must_use]
    pub fn rsa_raw(&self, block: &[u8]) -> Option<Vec<u8>> {
        let Self::Rsa { n, e } = self else {
            return None;
        };
        let (number, modulus) = (BigUint::from_bytes_be(block), BigUint::from_bytes_be(n));
        if block.len() != n.len() || number >= modulus {
            return None;
        }
        RsaPublicKey::new(modulus.clone(), (*e).into()).ok()?;
        let bytes = number.modpow(&(*e).into(), &modulus).to_bytes_be();
        Some([&vec![0; n.len() - bytes.len()][..], &bytes].concat())
    }

    /// Whether `signature` is a valid signature of `digest` by this key.
    ///
    /// `digest` must be as long as the scheme's hash. For [`Scheme::Ecdsa`] and
    /// [`Scheme::RsaPkcs1Any`] it may have any length that
    /// [`ReadyKey::sign`](crate::ReadyKey::sign) takes.
    #[must_use]
    pub fn verify(&self, scheme: Scheme, digest: &[u8], signature: &Signature) -> bool {
        match (self, signature) {
            (Self::Rsa { n, e }, Signature::Rsa(bytes)) => {
                let Ok(key) = RsaPublicKey::new(BigUint::from_bytes_be(n), (*e).into()) else {
                    return false;
                };
                match scheme {
                    Scheme::RsaPkcs1(hash) => key.verify(pkcs1(hash), digest, bytes).is_ok(),
                    Scheme::RsaPkcs1Any => {
                        let any = Pkcs1v15Sign::new_unprefixed();
                        key.verify(any, digest, bytes).is_ok()
                    }
                    Scheme::RsaPss(hash) => key.verify(pss(hash), digest, bytes).is_ok(),
                    Scheme::RsaPssWith(pss) => self
                        .rsa_raw(bytes)
                        .is_some_and(|block| padding::pss_verify(&block, n, digest, pss)),
                    Scheme::Ecdsa => false,
                }
            }
            (Self::Ecc { curve, x, y }, Signature::Ecdsa { r, s }) if scheme == Scheme::Ecdsa => {
                let point = Self::sec1(*curve, x, y);
                let digest = curve.fit_digest(digest);
                match curve {
                    Curve::P256 => p256_verify(&point, &digest, &[&r[..], s].concat()),
                    Curve::P384 => p384_verify(&point, &digest, &[&r[..], s].concat()),
                    Curve::P521 => p521_verify(&point, &digest, &[&r[..], s].concat()),
                }
            }
            _ => false,
        }
    }
}

pub(crate) fn pkcs1(hash: Hash) -> Pkcs1v15Sign {
    match hash {
        Hash::Sha1 => Pkcs1v15Sign::new::<Sha1>(),
        Hash::Sha256 => Pkcs1v15Sign::new::<Sha256>(),
        Hash::Sha384 => Pkcs1v15Sign::new::<Sha384>(),
        Hash::Sha512 => Pkcs1v15Sign::new::<Sha512>(),
    }
}

fn pss(hash: Hash) -> Pss {
    match hash {
        Hash::Sha1 => Pss::new::<Sha1>(),
        Hash::Sha256 => Pss::new::<Sha256>(),
        Hash::Sha384 => Pss::new::<Sha384>(),
        Hash::Sha512 => Pss::new::<Sha512>(),
    }
}

macro_rules! ecdsa_verify {
    ($name:ident, $curve:ident) => {
        fn $name(point: &[u8], digest: &[u8], signature: &[u8]) -> bool {
            let Ok(key) = $curve::ecdsa::VerifyingKey::from_sec1_bytes(point) else {
                return false;
            };
            let Ok(signature) = $curve::ecdsa::Signature::from_slice(signature) else {
                return false;
            };
            key.verify_prehash(digest, &signature).is_ok()
        }
    };
}

ecdsa_verify!(p256_verify, p256);
ecdsa_verify!(p384_verify, p384);
ecdsa_verify!(p521_verify, p521);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_rsa_key_or_too_long_is_refused() {
        let text = |n: Vec<u8>, e| PublicKey::Rsa { n, e }.check().unwrap_err().to_string();
        let none = "key refused: no RSA key has this modulus and exponent";
        for (last, e) in [(0xc2, 65_537), (0xc1, 1), (0xc1, 2), (0xc1, 0)] {
            let mut n = vec![0xc1; 256];
            n[255] = last;
            assert_eq!(text(n, e), none);
        }
        let long = "key refused: RSA keys above 4096 bits are not supported";
        assert_eq!(text(vec![0xc1; 513], 65_537), long);
    }
}
