//! Public areas of keys (`TPMT_PUBLIC`), and the Names that follow from them.

use std::fmt;

use tpm_wire::{Reader, algorithm};

use crate::{Error, HashAlg, Result};

/// Attributes of objects (`TPMA_OBJECT`), one bit each.
///
/// # Source
///
/// Part 2, section 8.3 "TPMA_OBJECT".
pub(crate) mod attributes {
    pub(crate) const FIXED_TPM: u32 = 1 << 1;
    pub(crate) const FIXED_PARENT: u32 = 1 << 4;
    pub(crate) const SENSITIVE_DATA_ORIGIN: u32 = 1 << 5;
    pub(crate) const USER_WITH_AUTH: u32 = 1 << 6;
    pub(crate) const ADMIN_WITH_POLICY: u32 = 1 << 7;
    pub(crate) const NO_DA: u32 = 1 << 10;
    pub(crate) const RESTRICTED: u32 = 1 << 16;
    pub(crate) const DECRYPT: u32 = 1 << 17;
    pub(crate) const SIGN: u32 = 1 << 18;
}

/// The Name of a TPM entity: a 16-bit hash algorithm, then the hash of its public area.
///
/// # Source
///
/// Part 1, section 16 "Names".
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Vec<u8>);

impl Name {
    /// The Name of the owner hierarchy, which is its handle.
    pub(crate) fn owner() -> Self {
        Self(0x4000_0001_u32.to_be_bytes().to_vec())
    }

    pub(crate) fn of(alg: HashAlg, parts: &[&[u8]]) -> Self {
        Self([&alg.id().to_be_bytes()[..], &alg.digest(parts)].concat())
    }

    /// The Name of an object or NV index as its bytes: algorithm (2, big-endian), then a digest of its length.
    ///
    /// # Errors
    ///
    /// [`Error::Malformed`] for anything else.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let mut reader = Reader::new(bytes, "Name");
        let alg = HashAlg::from_id(reader.u16()?)
            .ok_or_else(|| reader.malformed("its hash is not SHA-256, SHA-384 or SHA-512"))?;
        reader.take(alg.size())?;
        reader.finish()?;
        Ok(Self(bytes.to_vec()))
    }

    /// Reads a Name in hexadecimal, as [`Display`](fmt::Display) writes it.
    ///
    /// # Errors
    ///
    /// As for [`Name::from_bytes`].
    pub fn from_hex(text: &str) -> Result<Self> {
        let bytes = base16ct::mixed::decode_vec(text);
        let bytes = bytes.map_err(|_| Error::malformed("Name", "it is not hexadecimal"))?;
        Self::from_bytes(&bytes)
    }

    /// The bytes, algorithm first.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Name({self})")
    }
}

/// The numbers of a public key.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum PublicKey {
    /// Modulus (big-endian, as long as the key) and exponent.
    Rsa {
        /// The modulus; its highest bit is set.
        n: Vec<u8>,
        /// The exponent.
        e: u32,
    },
    /// A point of a NIST curve, each coordinate as long as the field, big-endian.
    Ecc {
        /// The curve.
        curve: ssh_format::Curve,
        /// The x coordinate.
        x: Vec<u8>,
        /// The y coordinate.
        y: Vec<u8>,
    },
}

/// A symmetric algorithm with its key: AES in CFB mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Symmetric {
    None,
    Aes { bits: u16 },
}

/// A signature scheme of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeyScheme {
    None,
    RsaSsa(HashAlg),
    Ecdsa(HashAlg),
}

/// The public area of an asymmetric key, with the bytes that its Name is made of.
///
/// # Source
///
/// Part 2, section 12.2.4 "TPMT_PUBLIC".
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicArea {
    bytes: Vec<u8>,
    pub(crate) name_alg: HashAlg,
    pub(crate) attributes: u32,
    pub(crate) policy: Vec<u8>,
    pub(crate) symmetric: Symmetric,
    pub(crate) scheme: KeyScheme,
    pub(crate) key: PublicKey,
}

impl PublicArea {
    /// Reads a `TPMT_PUBLIC`: RSA or ECC on P-256, P-384 or P-521.
    ///
    /// Some chips leave out leading zeros of coordinates. The coordinates here have them; the Name is the hash of `bytes` unchanged.
    ///
    /// # Errors
    ///
    /// [`Error::Malformed`] for anything else, and for bytes that are left over.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let mut reader = Reader::new(bytes, "public area");
        let kind = reader.u16()?;
        let name_alg = HashAlg::from_id(reader.u16()?).ok_or_else(|| {
            reader.malformed("its Name's hash is not SHA-256, SHA-384 or SHA-512")
        })?;
        let attributes = reader.u32()?;
        let policy = reader.sized()?.to_vec();
        let symmetric = match reader.u16()? {
            algorithm::NULL => Symmetric::None,
            algorithm::AES => {
                let bits = reader.u16()?;
                if reader.u16()? != algorithm::CFB {
                    return Err(reader.malformed("its mode of encryption is not CFB").into());
                }
                Symmetric::Aes { bits }
            }
            _ => {
                return Err(reader
                    .malformed("its symmetric algorithm is not AES")
                    .into());
            }
        };
        let scheme = scheme(&mut reader)?;
        let key = match kind {
            algorithm::RSA => rsa(&mut reader)?,
            algorithm::ECC => ecc(&mut reader)?,
            _ => {
                return Err(reader
                    .malformed("it is neither an RSA nor an ECC key")
                    .into());
            }
        };
        reader.finish()?;
        Ok(Self {
            bytes: bytes.to_vec(),
            name_alg,
            attributes,
            policy,
            symmetric,
            scheme,
            key,
        })
    }

    /// The numbers of the key.
    #[must_use]
    pub fn key(&self) -> &PublicKey {
        &self.key
    }

    /// The bytes that were read.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The attributes (`TPMA_OBJECT`).
    #[must_use]
    pub fn attributes(&self) -> u32 {
        self.attributes
    }

    /// The Name: the hash of exactly the bytes that were read.
    #[must_use]
    pub fn name(&self) -> Name {
        Name::of(self.name_alg, &[&self.bytes])
    }

    /// The Qualified Name below a parent with the Qualified Name `parent`. It identifies the whole path
    /// from the hierarchy to this key, and is a hash with this key's own name algorithm.
    ///
    /// # Source
    ///
    /// Part 1, section 16 "Names", Qualified Name.
    pub(crate) fn qualified_name(&self, parent: &Name) -> Name {
        Name::of(self.name_alg, &[parent.bytes(), self.name().bytes()])
    }
}

fn scheme(reader: &mut Reader<'_>) -> Result<KeyScheme> {
    let id = reader.u16()?;
    if id == algorithm::NULL {
        return Ok(KeyScheme::None);
    }
    let hash = HashAlg::from_id(reader.u16()?);
    match (id, hash) {
        (algorithm::RSASSA, Some(hash)) => Ok(KeyScheme::RsaSsa(hash)),
        (algorithm::ECDSA, Some(hash)) => Ok(KeyScheme::Ecdsa(hash)),
        _ => Err(reader
            .malformed("its scheme is neither RSASSA nor ECDSA with SHA-2")
            .into()),
    }
}

fn rsa(reader: &mut Reader<'_>) -> Result<PublicKey> {
    let bits = reader.u16()?;
    // 0 stands for the default exponent, 65537.
    let e = match reader.u32()? {
        0 => 65537,
        e => e,
    };
    let n = reader.sized()?;
    if n.len() * 8 != usize::from(bits) || n.first().is_none_or(|first| first & 0x80 == 0) {
        return Err(reader
            .malformed("its modulus is not as long as it says")
            .into());
    }
    Ok(PublicKey::Rsa { n: n.to_vec(), e })
}

fn ecc(reader: &mut Reader<'_>) -> Result<PublicKey> {
    use ssh_format::Curve;
    let curve = match reader.u16()? {
        3 => Curve::NistP256,
        4 => Curve::NistP384,
        5 => Curve::NistP521,
        _ => {
            return Err(reader
                .malformed("its curve is not P-256, P-384 or P-521")
                .into());
        }
    };
    if reader.u16()? != algorithm::NULL {
        return Err(reader.malformed("it has a key derivation").into());
    }
    let size = curve.field_size();
    let mut coordinate = || -> Result<Vec<u8>> {
        let bytes = reader.sized()?;
        let missing = size
            .checked_sub(bytes.len())
            .ok_or_else(|| reader.malformed("a coordinate is too long"))?;
        Ok([&vec![0; missing][..], bytes].concat())
    };
    let (x, y) = (coordinate()?, coordinate()?);
    Ok(PublicKey::Ecc { curve, x, y })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_bytes_are_a_public_area_or_refused(
            head in prop_oneof![Just(vec![0, 1, 0, 11]), Just(vec![0, 35, 0, 12]), Just(vec![])],
            rest in proptest::collection::vec(any::<u8>(), 0..120),
        ) {
            let bytes = [head, rest].concat();
            if let Ok(area) = PublicArea::parse(&bytes) {
                prop_assert_eq!(area.bytes(), &bytes[..]);
            }
        }
    }

    #[test]
    fn a_name_is_read_as_it_is_shown() {
        let name = Name::of(HashAlg::Sha256, &[b"public area"]);
        assert_eq!(Name::from_hex(&name.to_string()), Ok(name.clone()));
        let text = name.to_string();
        for wrong in [
            "",
            "000b",
            "+00b",
            &text[1..],
            &format!("{text}00"),
            "0004",
            "é0",
        ] {
            assert!(Name::from_hex(wrong).is_err(), "{wrong}");
        }
    }
}
