//! Authorization values: the passwords of hierarchies, objects and indexes of a TPM.

use std::fmt;

use rand_core::{OsRng, RngCore};

use crate::secret::Locked;
use crate::{Error, Result};

/// An authorization value of at most 32 bytes, wiped when dropped and never printed. It is not
/// swapped to disk if the system lets this process lock memory.
///
/// A TPM ignores trailing zero bytes, so they are removed here as well; equal values then
/// have equal bytes.
///
/// # Source
///
/// Part 1, section 19.6.4.3 "Authorization Size Convention".
#[derive(Clone)]
pub struct AuthValue(Option<Locked>);

impl AuthValue {
    /// The longest value that every object and index of this crate takes, in bytes.
    pub const MAX: usize = 32;

    /// The empty value, which a new hierarchy has.
    #[must_use]
    pub fn empty() -> Self {
        Self(None)
    }

    /// A value from bytes.
    ///
    /// # Errors
    ///
    /// [`Error::AuthTooLong`] for more than [`AuthValue::MAX`] bytes. Some TPM libraries (ESAPI)
    /// hash a longer value and others send it as it is, so a longer value would not work in all
    /// programs.
    pub fn new(bytes: &[u8]) -> Result<Self> {
        let end = bytes
            .iter()
            .rposition(|&byte| byte != 0)
            .map_or(0, |i| i + 1);
        if end > Self::MAX {
            return Err(Error::AuthTooLong);
        }
        if end == 0 {
            return Ok(Self::empty());
        }
        let mut value = Locked::zeroed(end);
        value.bytes_mut().copy_from_slice(&bytes[..end]);
        Ok(Self(Some(value)))
    }

    /// 32 random bytes.
    #[must_use]
    pub fn random() -> Self {
        let mut value = Locked::zeroed(Self::MAX);
        OsRng.fill_bytes(value.bytes_mut());
        value.bytes_mut()[Self::MAX - 1] |= 1;
        Self(Some(value))
    }

    /// Whether this is the empty value.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// The bytes, without trailing zeros.
    pub(crate) fn bytes(&self) -> &[u8] {
        self.0.as_ref().map_or(&[], Locked::bytes)
    }
}

impl fmt::Debug for AuthValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AuthValue(…)")
    }
}

#[cfg(test)]
mod tests {
    use testing::assert_matches;

    use super::*;

    #[test]
    fn trailing_zeros_do_not_make_another_value() {
        let padded = AuthValue::new(b"ab\0\0").unwrap();
        assert_eq!(padded.bytes(), b"ab");
        assert_eq!(AuthValue::new(&[0; 40]).unwrap().bytes(), b"");
    }

    #[test]
    fn more_than_32_bytes_are_refused() {
        assert!(AuthValue::new(&[1; 32]).is_ok());
        assert_matches!(AuthValue::new(&[1; 33]), Err(Error::AuthTooLong));
    }

    #[test]
    fn a_value_is_never_printed() {
        let auth = AuthValue::new(b"sesame").unwrap();
        assert_eq!(format!("{auth:?}"), "AuthValue(…)");
    }
}
