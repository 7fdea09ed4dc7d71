//! The SSH data types (RFC 4251 section 5), read from a slice and never beyond it.

use crate::{Error, Result};

/// Reads one field after the other from the bytes of `what`.
#[derive(Debug, Clone)]
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    what: &'static str,
}

impl<'a> Reader<'a> {
    /// `what` is named in errors, such as `certificate`.
    pub(crate) fn new(bytes: &'a [u8], what: &'static str) -> Self {
        Self { bytes, what }
    }

    /// What has not been read yet.
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.bytes
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub(crate) fn take(&mut self, len: usize) -> Result<&'a [u8]> {
        let (head, tail) = self
            .bytes
            .split_at_checked(len)
            .ok_or(Error::Cut { what: self.what })?;
        self.bytes = tail;
        Ok(head)
    }

    pub(crate) fn byte(&mut self) -> Result<u8> {
        Ok(self.take(1)?[0])
    }

    /// `uint32`, big-endian.
    pub(crate) fn u32(&mut self) -> Result<u32> {
        let bytes = self.take(4)?;
        Ok(bytes.iter().fold(0, |n, &byte| n << 8 | u32::from(byte)))
    }

    /// `uint64`, big-endian.
    pub(crate) fn u64(&mut self) -> Result<u64> {
        let bytes = self.take(8)?;
        Ok(bytes.iter().fold(0, |n, &byte| n << 8 | u64::from(byte)))
    }

    /// `string`: a `uint32` length, then so many bytes.
    pub(crate) fn string(&mut self) -> Result<&'a [u8]> {
        let len = self.u32()?;
        self.take(usize::try_from(len).unwrap_or(usize::MAX))
    }

    /// A `string` that is UTF-8 without a NUL, which would end it early for a program in C.
    pub(crate) fn text(&mut self, field: &'static str) -> Result<&'a str> {
        match std::str::from_utf8(self.string()?) {
            Ok(text) if !text.contains('\0') => Ok(text),
            _ => Err(self.malformed(format!("its {field} is not text"))),
        }
    }

    /// A `string` that holds fields of its own.
    pub(crate) fn nested(&mut self) -> Result<Self> {
        Ok(Self::new(self.string()?, self.what))
    }

    /// That nothing is left over.
    pub(crate) fn finish(&self) -> Result<()> {
        if self.is_empty() {
            Ok(())
        } else {
            Err(self.malformed("it goes on after its end"))
        }
    }

    /// The error that says why the bytes are not `what`.
    pub(crate) fn malformed(&self, why: impl Into<String>) -> Error {
        Error::malformed(self.what, why)
    }
}

/// Appends a `uint32`.
pub(crate) fn put_u32(out: &mut Vec<u8>, number: u32) {
    out.extend(number.to_be_bytes());
}

/// Appends a `uint64`.
pub(crate) fn put_u64(out: &mut Vec<u8>, number: u64) {
    out.extend(number.to_be_bytes());
}

/// Appends a `string`.
///
/// # Panics
///
/// If `bytes` is 4 GiB or longer; everything that comes here has been bounded before.
pub(crate) fn put_string(out: &mut Vec<u8>, bytes: &[u8]) {
    put_u32(out, u32::try_from(bytes.len()).expect("less than 4 GiB"));
    out.extend(bytes);
}

/// The fields that `fill` appends, as one `string`.
pub(crate) fn put_nested(out: &mut Vec<u8>, fill: impl FnOnce(&mut Vec<u8>)) {
    let mut inner = Vec::new();
    fill(&mut inner);
    put_string(out, &inner);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 4251 section 5: the examples of `uint32` and `string`.
    #[test]
    fn rfc_4251_section_5_examples() {
        let mut out = Vec::new();
        put_u32(&mut out, 699_921_578);
        put_string(&mut out, b"testing");
        put_u64(&mut out, u64::MAX);
        assert_eq!(
            out,
            b"\x29\xb7\xf4\xaa\0\0\0\x07testing\xff\xff\xff\xff\xff\xff\xff\xff"
        );
        let mut reader = Reader::new(&out, "example");
        assert_eq!(reader.u32().unwrap(), 699_921_578);
        assert_eq!(reader.text("name").unwrap(), "testing");
        assert_eq!(reader.u64().unwrap(), u64::MAX);
        reader.finish().unwrap();
    }

    #[test]
    fn a_length_beyond_the_end_is_refused() {
        for bytes in [&b""[..], b"\0\0\0", b"\0\0\0\x02a", b"\xff\xff\xff\xffabc"] {
            let err = Reader::new(bytes, "example").string().unwrap_err();
            assert_eq!(err.to_string(), "the example is cut short", "{bytes:?}");
        }
    }

    #[test]
    fn what_is_left_over_and_what_is_no_text_is_refused() {
        let err = Reader::new(b"x", "example").finish().unwrap_err();
        assert_eq!(
            err.to_string(),
            "the example is malformed: it goes on after its end"
        );
        for bytes in [&b"\0\0\0\x01\xff"[..], b"\0\0\0\x02a\0"] {
            let err = Reader::new(bytes, "example").text("name").unwrap_err();
            assert_eq!(
                err.to_string(),
                "the example is malformed: its name is not text"
            );
        }
    }
}
