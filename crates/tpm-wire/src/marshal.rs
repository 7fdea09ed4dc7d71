//! Integers and buffers, read and written.

/// A result of this crate.
pub type Result<T, E = Malformed> = std::result::Result<T, E>;

/// A structure is not what it should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("malformed {what}: {why}")]
#[non_exhaustive]
pub struct Malformed {
    /// What was read, such as `public area`.
    pub what: &'static str,
    /// What is wrong with it, such as `it ends too early`.
    pub why: &'static str,
}

/// Takes integers and buffers off the front of a byte slice.
///
/// Each method returns [`Malformed`] if the slice is too short, and takes nothing then. None panics, none allocates.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    rest: &'a [u8],
    what: &'static str,
}

impl<'a> Reader<'a> {
    /// Reads `bytes`; errors call them `what`.
    #[must_use]
    pub const fn new(bytes: &'a [u8], what: &'static str) -> Self {
        Self { rest: bytes, what }
    }

    /// The next `n` bytes.
    ///
    /// # Errors
    ///
    /// [`Malformed`] if fewer are left.
    pub fn take(&mut self, n: usize) -> Result<&'a [u8]> {
        let (head, rest) = self
            .rest
            .split_at_checked(n)
            .ok_or_else(|| self.malformed("it ends too early"))?;
        self.rest = rest;
        Ok(head)
    }

    /// The next `N` bytes.
    ///
    /// # Errors
    ///
    /// [`Malformed`] if fewer are left.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let (head, rest) = self
            .rest
            .split_first_chunk()
            .ok_or_else(|| self.malformed("it ends too early"))?;
        self.rest = rest;
        Ok(*head)
    }

    /// The next byte.
    ///
    /// # Errors
    ///
    /// [`Malformed`] if none is left.
    pub fn u8(&mut self) -> Result<u8> {
        self.array().map(u8::from_be_bytes)
    }

    /// The next two bytes as an integer.
    ///
    /// # Errors
    ///
    /// [`Malformed`] if fewer are left.
    pub fn u16(&mut self) -> Result<u16> {
        self.array().map(u16::from_be_bytes)
    }

    /// The next four bytes as an integer.
    ///
    /// # Errors
    ///
    /// [`Malformed`] if fewer are left.
    pub fn u32(&mut self) -> Result<u32> {
        self.array().map(u32::from_be_bytes)
    }

    /// The next eight bytes as an integer.
    ///
    /// # Errors
    ///
    /// [`Malformed`] if fewer are left.
    pub fn u64(&mut self) -> Result<u64> {
        self.array().map(u64::from_be_bytes)
    }

    /// The contents of a `TPM2B_*`: a 16-bit length, then that many bytes.
    ///
    /// # Errors
    ///
    /// [`Malformed`] if it is longer than what is left.
    pub fn sized(&mut self) -> Result<&'a [u8]> {
        let mut inside = self.clone();
        let len = inside.u16()?;
        let bytes = inside.take(usize::from(len))?;
        *self = inside;
        Ok(bytes)
    }

    /// Everything that is left.
    pub fn remainder(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.rest)
    }

    /// Ends the reading.
    ///
    /// # Errors
    ///
    /// [`Malformed`] if bytes are left over.
    pub fn finish(self) -> Result<()> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(self.malformed("bytes are left over"))
        }
    }

    /// The error for what is read here.
    #[must_use]
    pub const fn malformed(&self, why: &'static str) -> Malformed {
        let what = self.what;
        Malformed { what, why }
    }
}

/// Appends integers and buffers in the TPM's wire format.
pub trait Put {
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

    use super::*;

    proptest! {
        #[test]
        fn what_is_put_is_read_back(a: u16, b: u32, c in proptest::collection::vec(any::<u8>(), 0..300)) {
            let mut bytes = Vec::new();
            bytes.put_u16(a);
            bytes.put_u32(b);
            bytes.put_sized(&c);
            let mut reader = Reader::new(&bytes, "test");
            prop_assert_eq!(reader.u16(), Ok(a));
            prop_assert_eq!(reader.u32(), Ok(b));
            prop_assert_eq!(reader.sized(), Ok(&c[..]));
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
        assert_eq!(reader.u16(), Ok(0x0102));
        let err = reader.finish().expect_err("a byte is left");
        assert_eq!(err.to_string(), "malformed test: bytes are left over");
    }

    #[test]
    fn what_ends_too_early_takes_nothing() {
        let mut reader = Reader::new(&[0, 9, 1], "test");
        let err = reader.sized().expect_err("one byte of nine is there");
        assert_eq!(err.to_string(), "malformed test: it ends too early");
        assert!(reader.u32().is_err() && reader.u64().is_err() && reader.take(4).is_err());
        assert_eq!(reader.remainder(), [0, 9, 1]);
        assert!(reader.u8().is_err());
    }
}
