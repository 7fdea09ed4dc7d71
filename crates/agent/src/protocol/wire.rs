//! The data types of the protocol (RFC 4251 section 5), read with every length checked.

/// A message ends too early, or holds something that cannot be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("malformed message: {0}")]
pub struct Malformed(pub &'static str);

/// Reads fields off the front of a byte string; nothing is copied.
#[derive(Debug, Clone)]
pub struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// A reader of `bytes`.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// Whether nothing is left.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes all that is left.
    pub fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }

    fn bytes(&mut self, len: usize) -> Result<&'a [u8], Malformed> {
        let (bytes, rest) = self
            .0
            .split_at_checked(len)
            .ok_or(Malformed("it ends too early"))?;
        self.0 = rest;
        Ok(bytes)
    }

    /// A byte.
    ///
    /// # Errors
    ///
    /// [`Malformed`] at the end.
    pub fn byte(&mut self) -> Result<u8, Malformed> {
        Ok(self.bytes(1)?[0])
    }

    /// A `boolean`: any byte but 0 is true.
    ///
    /// # Errors
    ///
    /// [`Malformed`] at the end.
    pub fn boolean(&mut self) -> Result<bool, Malformed> {
        Ok(self.byte()? != 0)
    }

    /// A `uint32`.
    ///
    /// # Errors
    ///
    /// [`Malformed`] at the end.
    pub fn uint32(&mut self) -> Result<u32, Malformed> {
        let mut number = [0; 4];
        number.copy_from_slice(self.bytes(4)?);
        Ok(u32::from_be_bytes(number))
    }

    /// A `string`: its length in four bytes, then its bytes.
    ///
    /// # Errors
    ///
    /// [`Malformed`] if fewer bytes are left than it claims.
    pub fn string(&mut self) -> Result<&'a [u8], Malformed> {
        let len = self.uint32()?;
        let len = usize::try_from(len).map_err(|_| Malformed("it ends too early"))?;
        self.bytes(len)
    }

    /// A `string` of UTF-8 text without a zero byte.
    ///
    /// # Errors
    ///
    /// [`Malformed`].
    pub fn text(&mut self) -> Result<&'a str, Malformed> {
        let text = std::str::from_utf8(self.string()?).map_err(|_| Malformed("not UTF-8"))?;
        if text.contains('\0') {
            return Err(Malformed("a text with a zero byte"));
        }
        Ok(text)
    }

    /// A `string` with further fields in it.
    ///
    /// # Errors
    ///
    /// [`Malformed`].
    pub fn nested(&mut self) -> Result<Self, Malformed> {
        Ok(Self(self.string()?))
    }

    /// Checks that nothing is left.
    ///
    /// # Errors
    ///
    /// [`Malformed`] if something is.
    pub fn end(&self) -> Result<(), Malformed> {
        if self.is_empty() {
            Ok(())
        } else {
            Err(Malformed("bytes after its end"))
        }
    }
}

/// Appends a `string`.
///
/// # Panics
///
/// If it is 4 GiB or longer, which no frame has room for.
pub fn put_string(out: &mut Vec<u8>, bytes: &[u8]) {
    let len = u32::try_from(bytes.len()).expect("a string of a frame is shorter than 4 GiB");
    out.extend_from_slice(&len.to_be_bytes());
    out.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// RFC 4251 section 5: "testing" is 00 00 00 07 t e s t i n g.
    #[test]
    fn rfc_4251_section_5_string() {
        let mut out = Vec::new();
        put_string(&mut out, b"testing");
        assert_eq!(out, b"\0\0\0\x07testing");
        let mut reader = Reader::new(&out);
        assert_eq!(reader.text(), Ok("testing"));
        assert_eq!(reader.end(), Ok(()));
        assert!(reader.byte().is_err());
    }

    #[test]
    fn a_length_beyond_the_end_is_refused_and_reserves_nothing() {
        let mut reader = Reader::new(b"\xff\xff\xff\xf0abc");
        assert_eq!(reader.string(), Err(Malformed("it ends too early")));
    }

    proptest! {
        #[test]
        fn strings_read_back(strings: Vec<Vec<u8>>) {
            let mut out = Vec::new();
            for string in &strings {
                put_string(&mut out, string);
            }
            let mut reader = Reader::new(&out);
            for string in &strings {
                prop_assert_eq!(reader.string().unwrap(), string);
            }
            prop_assert!(reader.is_empty());
        }
    }
}
