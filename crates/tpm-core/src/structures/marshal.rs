//! The TPM's wire format: big-endian integers, and buffers after their 16-bit length.

use crate::{Error, Result};

/// Takes integers and buffers off the front of a byte slice.
///
/// Each method returns [`Error::Malformed`] if the slice is too short. None panics.
#[derive(Debug, Clone)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
    what: &'static str,
}

impl<'a> Reader<'a> {
    /// Reads `bytes`; errors call them `what`.
    pub(crate) fn new(bytes: &'a [u8], what: &'static str) -> Self {
        Self { rest: bytes, what }
    }

    /// The next `n` bytes.
    pub(crate) fn take(&mut self, n: usize) -> Result<&'a [u8]> {
        let (head, rest) = self
            .rest
            .split_at_checked(n)
            .ok_or(Error::Malformed(self.what))?;
        self.rest = rest;
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut out = [0; N];
        out.copy_from_slice(self.take(N)?);
        Ok(out)
    }

    /// The next byte.
    pub(crate) fn u8(&mut self) -> Result<u8> {
        Ok(u8::from_be_bytes(self.array()?))
    }

    /// The next two bytes as an integer.
    pub(crate) fn u16(&mut self) -> Result<u16> {
        Ok(u16::from_be_bytes(self.array()?))
    }

    /// The next four bytes as an integer.
    pub(crate) fn u32(&mut self) -> Result<u32> {
        Ok(u32::from_be_bytes(self.array()?))
    }

    /// The contents of a `TPM2B_*`: a 16-bit length, then that many bytes.
    pub(crate) fn sized(&mut self) -> Result<&'a [u8]> {
        let len = self.u16()?;
        self.take(usize::from(len))
    }

    /// Everything that is left.
    pub(crate) fn remainder(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.rest)
    }

    /// Fails unless everything has been read.
    pub(crate) fn finish(self) -> Result<()> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(Error::Malformed(self.what))
        }
    }
}

/// Appends integers and buffers in the TPM's wire format.
pub(crate) trait Put {
    /// Appends two bytes.
    fn put_u16(&mut self, value: u16);
    /// Appends four bytes.
    fn put_u32(&mut self, value: u32);
    /// Appends a `TPM2B_*` that holds `bytes`.
    ///
    /// # Panics
    ///
    /// If `bytes` is longer than 65,535. Callers pass buffers of a TPM or fixed templates, which
    /// are shorter.
    fn put_sized(&mut self, bytes: &[u8]);
}

impl Put for Vec<u8> {
    fn put_u16(&mut self, value: u16) {
        self.extend_from_slice(&value.to_be_bytes());
    }

    fn put_u32(&mut self, value: u32) {
        self.extend_from_slice(&value.to_be_bytes());
    }

    fn put_sized(&mut self, bytes: &[u8]) {
        let len = u16::try_from(bytes.len()).expect("a TPM buffer is at most 65,535 bytes");
        self.put_u16(len);
        self.extend_from_slice(bytes);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use testing::assert_matches;

    use super::*;

    proptest! {
        #[test]
        fn what_is_put_is_read_back(a: u16, b: u32, c in proptest::collection::vec(any::<u8>(), 0..300)) {
            let mut bytes = Vec::new();
            bytes.put_u16(a);
            bytes.put_u32(b);
            bytes.put_sized(&c);
            let mut reader = Reader::new(&bytes, "test");
            prop_assert_eq!(reader.u16().unwrap(), a);
            prop_assert_eq!(reader.u32().unwrap(), b);
            prop_assert_eq!(reader.sized().unwrap(), &c[..]);
            prop_assert!(reader.finish().is_ok());
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let mut reader = Reader::new(&bytes, "test");
            while reader.sized().is_ok() {}
            prop_assert!(reader.take(usize::MAX).is_err());
        }
    }

    #[test]
    fn bytes_left_over_are_refused() {
        let mut reader = Reader::new(&[1, 2, 3], "test");
        reader.u16().unwrap();
        assert_matches!(reader.finish(), Err(Error::Malformed("test")));
    }
}
