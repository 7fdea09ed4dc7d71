//! Attributes that callers of PKCS#11 set and that this crate keeps without interpreting them.

use std::collections::BTreeMap;

use super::MAX_VALUE_LEN;
use crate::{Error, Result};

/// The longest list in a store. A public half that stays after its key is deleted gets a few flags
/// more than its owner gave it. These always fit; otherwise such a key could not be deleted.
pub(super) const MAX_STORED_LEN: usize = MAX_VALUE_LEN + 64;

/// Attributes by their PKCS#11 number (`CK_ATTRIBUTE_TYPE`), with their values as the caller gave
/// them.
///
/// This crate does not look at them. The PKCS#11 module does: `CKA_DESTROYABLE` false, for example,
/// stops `C_DestroyObject`, and does not stop [`Store::delete_object`](crate::Store::delete_object).
/// The permissions of a private key are in [`Key`](crate::Key).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Attributes(BTreeMap<u64, Vec<u8>>);

impl Attributes {
    /// The value of an attribute.
    #[must_use]
    pub fn get(&self, kind: u64) -> Option<&[u8]> {
        self.0.get(&kind).map(Vec::as_slice)
    }

    /// Sets an attribute, whatever its value was.
    pub fn set(&mut self, kind: u64, value: impl Into<Vec<u8>>) {
        self.0.insert(kind, value.into());
    }

    /// The attributes, in the order of their numbers.
    pub fn iter(&self) -> impl Iterator<Item = (u64, &[u8])> {
        self.0.iter().map(|(kind, value)| (*kind, value.as_slice()))
    }

    /// As [`Attributes::encode_within`], with the limit for callers: [`MAX_VALUE_LEN`] bytes.
    pub(super) fn encode(&self) -> Result<Vec<u8>> {
        self.encode_within(MAX_VALUE_LEN)
    }

    /// For each attribute its number (8 bytes), the length of its value (4 bytes), both
    /// big-endian, and the value.
    ///
    /// # Errors
    ///
    /// [`Error::TooLong`] if all of them are longer than `max`.
    pub(super) fn encode_within(&self, max: usize) -> Result<Vec<u8>> {
        let too_long = || Error::TooLong {
            what: "list of attributes",
            max,
        };
        let mut out = Vec::new();
        for (kind, value) in &self.0 {
            let len = u32::try_from(value.len()).map_err(|_| too_long())?;
            out.extend_from_slice(&kind.to_be_bytes());
            out.extend_from_slice(&len.to_be_bytes());
            out.extend_from_slice(value);
        }
        if out.len() > max {
            return Err(too_long());
        }
        Ok(out)
    }

    /// Reads the output of [`Attributes::encode`]; `None` for other bytes.
    pub(super) fn decode(mut bytes: &[u8]) -> Option<Self> {
        if bytes.len() > MAX_STORED_LEN {
            return None;
        }
        let mut attributes = BTreeMap::new();
        while !bytes.is_empty() {
            let (kind, rest) = bytes.split_first_chunk()?;
            let (len, rest) = rest.split_first_chunk()?;
            let len = usize::try_from(u32::from_be_bytes(*len)).ok()?;
            let (value, rest) = rest.split_at_checked(len)?;
            attributes.insert(u64::from_be_bytes(*kind), value.to_vec());
            bytes = rest;
        }
        Some(Self(attributes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_read_as_they_were_written() {
        let mut attributes = Attributes::default();
        attributes.set(0x111, b"20301231");
        attributes.set(0x110, b"");
        let bytes = attributes.encode().expect("they are short");
        assert_eq!(
            bytes,
            b"\0\0\0\0\0\0\x01\x10\0\0\0\0\0\0\0\0\0\0\x01\x11\0\0\0\x0820301231"
        );
        assert_eq!(Attributes::decode(&bytes), Some(attributes));
        assert_eq!(Attributes::decode(&[]), Some(Attributes::default()));
        for end in 1..bytes.len() {
            if end != 12 {
                assert_eq!(Attributes::decode(&bytes[..end]), None, "{end} bytes");
            }
        }
    }

    #[test]
    fn attributes_have_a_limit() {
        let mut attributes = Attributes::default();
        attributes.set(1, vec![0; MAX_VALUE_LEN - 12]);
        assert!(attributes.encode().is_ok());
        attributes.set(1, vec![0; MAX_VALUE_LEN - 11]);
        let refused = attributes.encode().expect_err("a byte more");
        assert_eq!(
            refused.to_string(),
            format!("the list of attributes is longer than {MAX_VALUE_LEN} bytes")
        );
    }
}
