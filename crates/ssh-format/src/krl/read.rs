//! Parsing a list. A list with an unknown part is refused, because an overlooked revocation would
//! let an intruder in.

use super::{
    CERT_EXTENSION, CERT_KEY_ID, CERT_SERIAL_BITMAP, CERT_SERIAL_LIST, CERT_SERIAL_RANGE,
    FORMAT_VERSION, Krl, MAGIC, MAX_KRL_LEN, RevokedCertificates, SECTION_CERTIFICATES,
    SECTION_EXPLICIT_KEY, SECTION_EXTENSION, SECTION_FINGERPRINT_SHA1, SECTION_FINGERPRINT_SHA256,
    SECTION_SIGNATURE, Serials,
};
use crate::public_key::bit_length;
use crate::wire::Reader;
use crate::{AnyKey, Result};

/// OpenSSH gives 0 to certificates without a number, and refuses a list with it.
const ZERO: &str = "the serial number 0 cannot be revoked";
/// No extension is known. OpenSSH before 9.4 refuses any.
const EXTENSION: &str = "it has an extension, and none is known here";

impl Krl {
    /// Reads a list.
    ///
    /// # Errors
    ///
    /// [`Error::Cut`](crate::Error::Cut) and [`Error::Malformed`](crate::Error::Malformed), also
    /// for extensions, for keys that OpenSSH does not know, and for lists of more than
    /// [`MAX_KRL_LEN`] bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let mut reader = Reader::new(bytes, "revocation list");
        if bytes.len() > MAX_KRL_LEN {
            return Err(reader.malformed("it is too long"));
        }
        if reader.u64()? != MAGIC {
            return Err(reader.malformed("it does not begin as one"));
        }
        if reader.u32()? != FORMAT_VERSION {
            return Err(reader.malformed("its format is newer than what is known here"));
        }
        let (number, generated) = (reader.u64()?, reader.u64()?);
        let _flags = reader.u64()?;
        let _reserved = reader.string()?;
        let mut krl = Self::new(number, generated, reader.text("comment")?);
        while !reader.is_empty() {
            let section = reader.byte()?;
            let data = reader.nested()?;
            krl.read_section(section, data)?;
        }
        Ok(krl)
    }

    fn read_section(&mut self, section: u8, data: Reader<'_>) -> Result<()> {
        match section {
            SECTION_CERTIFICATES => self.certificates.push(RevokedCertificates::read(data)?),
            SECTION_EXPLICIT_KEY => strings(data, |data, blob| {
                if AnyKey::from_blob(blob).is_err() {
                    return Err(data.malformed("a key in it is none"));
                }
                self.keys.push(blob.to_vec());
                Ok(())
            })?,
            SECTION_FINGERPRINT_SHA1 => strings(data, |data, hash| {
                self.sha1.push(fingerprint(data, hash)?);
                Ok(())
            })?,
            SECTION_FINGERPRINT_SHA256 => strings(data, |data, hash| {
                self.sha256.push(fingerprint(data, hash)?);
                Ok(())
            })?,
            SECTION_EXTENSION => return Err(data.malformed(EXTENSION)),
            SECTION_SIGNATURE => {
                return Err(data.malformed("it is signed, which OpenSSH has given up"));
            }
            _ => return Err(data.malformed("it has a section that is not known here")),
        }
        Ok(())
    }
}

impl RevokedCertificates {
    fn read(mut data: Reader<'_>) -> Result<Self> {
        let authority = match data.string()? {
            [] => None,
            blob => Some(
                AnyKey::from_blob(blob)
                    .map_err(|_| data.malformed("the key of an authority in it is none"))?,
            ),
        };
        let _reserved = data.string()?;
        let mut read = Self {
            authority,
            serials: Vec::new(),
            key_ids: Vec::new(),
        };
        while !data.is_empty() {
            let section = data.byte()?;
            let mut part = data.nested()?;
            match section {
                CERT_SERIAL_LIST => {
                    while !part.is_empty() {
                        let serial = part.u64()?;
                        if serial == 0 {
                            return Err(data.malformed(ZERO));
                        }
                        read.serials.push(Serials::Range(serial..=serial));
                    }
                }
                CERT_SERIAL_RANGE => {
                    let (low, high) = (part.u64()?, part.u64()?);
                    part.finish()?;
                    if low > high {
                        return Err(data.malformed("a range of serial numbers is upside down"));
                    }
                    if low == 0 {
                        return Err(data.malformed(ZERO));
                    }
                    read.serials.push(Serials::Range(low..=high));
                }
                CERT_SERIAL_BITMAP => {
                    let (offset, bits) = (part.u64()?, part.mpint()?.to_vec());
                    part.finish()?;
                    let last = bit_length(&bits).saturating_sub(1);
                    let last = u64::try_from(last).unwrap_or(u64::MAX);
                    if offset.checked_add(last).is_none() {
                        return Err(data.malformed("a bitmap goes beyond the serial numbers"));
                    }
                    if offset == 0 && bits.last().is_some_and(|byte| byte & 1 == 1) {
                        return Err(data.malformed(ZERO));
                    }
                    read.serials.push(Serials::Bitmap { offset, bits });
                }
                CERT_KEY_ID => {
                    while !part.is_empty() {
                        read.key_ids.push(part.text("key id")?.to_owned());
                    }
                }
                CERT_EXTENSION => return Err(data.malformed(EXTENSION)),
                _ => return Err(data.malformed("it has a section that is not known here")),
            }
        }
        Ok(read)
    }
}

/// Each of the strings that fill `data`.
fn strings<'a>(
    mut data: Reader<'a>,
    mut each: impl FnMut(&Reader<'a>, &'a [u8]) -> Result<()>,
) -> Result<()> {
    while !data.is_empty() {
        let bytes = data.string()?;
        each(&data, bytes)?;
    }
    Ok(())
}

fn fingerprint<const N: usize>(data: &Reader<'_>, hash: &[u8]) -> Result<[u8; N]> {
    hash.try_into()
        .map_err(|_| data.malformed("a fingerprint in it has the wrong length"))
}
