//! The SSH data types (RFC 4251 section 5): reading from a slice, and writing.
//!
//! ```
//! use ssh_format::wire::{Reader, put_string, put_u32};
//!
//! let mut out = Vec::new();
//! put_string(&mut out, b"anna");
//! put_u32(&mut out, 7);
//! let mut reader = Reader::new(&out, "example");
//! assert_eq!((reader.text("name")?, reader.u32()?), ("anna", 7));
//! reader.finish()?;
//! # Ok::<(), ssh_format::Error>(())
//! ```

use crate::{Error, Result};

/// The longest `mpint` that OpenSSH reads, in bytes (`SSHBUF_MAX_BIGNUM`).
const MAX_MPINT_LEN: usize = 16384 / 8;

/// Reads one field after the other from a byte slice, without copying.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    what: &'static str,
}

impl<'a> Reader<'a> {
    /// A reader of `bytes`; `what` is the name of the whole in errors, such as `certificate`.
    #[must_use]
    pub fn new(bytes: &'a [u8], what: &'static str) -> Self {
        Self { bytes, what }
    }

    /// The bytes that have not been read yet.
    #[must_use]
    pub fn rest(&self) -> &'a [u8] {
        self.bytes
    }

    /// Whether everything has been read.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The next `len` bytes.
    ///
    /// # Errors
    ///
    /// [`Error::Cut`] if fewer are left.
    pub fn take(&mut self, len: usize) -> Result<&'a [u8]> {
        let (head, tail) = self
            .bytes
            .split_at_checked(len)
            .ok_or(Error::Cut { what: self.what })?;
        self.bytes = tail;
        Ok(head)
    }

    /// `byte`.
    ///
    /// # Errors
    ///
    /// [`Error::Cut`].
    pub fn byte(&mut self) -> Result<u8> {
        Ok(self.take(1)?[0])
    }

    /// `boolean`: any byte but 0 is true.
    ///
    /// # Errors
    ///
    /// [`Error::Cut`].
    pub fn boolean(&mut self) -> Result<bool> {
        Ok(self.byte()? != 0)
    }

    /// `uint32`, big-endian.
    ///
    /// # Errors
    ///
    /// [`Error::Cut`].
    pub fn u32(&mut self) -> Result<u32> {
        let bytes = self.take(4)?;
        Ok(bytes.iter().fold(0, |n, &byte| n << 8 | u32::from(byte)))
    }

    /// `uint64`, big-endian.
    ///
    /// # Errors
    ///
    /// [`Error::Cut`].
    pub fn u64(&mut self) -> Result<u64> {
        let bytes = self.take(8)?;
        Ok(bytes.iter().fold(0, |n, &byte| n << 8 | u64::from(byte)))
    }

    /// `string`: its length in bytes as a `uint32`, then these bytes.
    ///
    /// # Errors
    ///
    /// [`Error::Cut`].
    pub fn string(&mut self) -> Result<&'a [u8]> {
        let len = self.u32()?;
        self.take(usize::try_from(len).unwrap_or(usize::MAX))
    }

    /// A `string` of UTF-8 without a NUL, at which a C program would cut the text. `field` is the
    /// name of the field in errors.
    ///
    /// # Errors
    ///
    /// [`Error::Cut`] and [`Error::Malformed`].
    pub fn text(&mut self, field: &'static str) -> Result<&'a str> {
        match std::str::from_utf8(self.string()?) {
            Ok(text) if !text.contains('\0') => Ok(text),
            _ => Err(self.malformed(format!("its {field} is not text"))),
        }
    }

    /// An `mpint` that is not negative: its bytes, most significant byte first, without the zero
    /// byte for the sign. Empty for 0.
    ///
    /// OpenSSH accepts more leading zero bytes and removes them. This crate refuses them: each key
    /// or signature has one encoding, so two keys are equal if and only if their bytes are.
    ///
    /// # Errors
    ///
    /// [`Error::Cut`]; [`Error::Malformed`] also for more than 16,384 bits.
    pub fn mpint(&mut self) -> Result<&'a [u8]> {
        let bytes = self.string()?;
        let number = match bytes {
            [] => bytes,
            [0x80..=0xff, ..] => return Err(self.malformed("a number in it is negative")),
            [0, 0x80..=0xff, ..] => &bytes[1..],
            [0, ..] => return Err(self.malformed("a number in it begins with needless zeros")),
            _ => bytes,
        };
        if number.len() > MAX_MPINT_LEN {
            return Err(self.malformed("a number in it has more than 16384 bits"));
        }
        Ok(number)
    }

    /// A `string` that holds fields of its own.
    ///
    /// # Errors
    ///
    /// [`Error::Cut`].
    pub fn nested(&mut self) -> Result<Self> {
        Ok(Self::new(self.string()?, self.what))
    }

    /// Checks that everything has been read.
    ///
    /// # Errors
    ///
    /// [`Error::Malformed`] if bytes are left.
    pub fn finish(&self) -> Result<()> {
        if self.is_empty() {
            Ok(())
        } else {
            Err(self.malformed("it goes on after its end"))
        }
    }

    /// The error for a wrong format, with the reason.
    #[must_use]
    pub fn malformed(&self, why: impl Into<String>) -> Error {
        Error::malformed(self.what, why)
    }
}

/// Appends a `uint32`.
pub fn put_u32(out: &mut Vec<u8>, number: u32) {
    out.extend(number.to_be_bytes());
}

/// Appends a `uint64`.
pub fn put_u64(out: &mut Vec<u8>, number: u64) {
    out.extend(number.to_be_bytes());
}

/// Appends a `string`.
///
/// # Panics
///
/// If `bytes` is 4 GiB or longer.
pub fn put_string(out: &mut Vec<u8>, bytes: &[u8]) {
    put_u32(out, u32::try_from(bytes.len()).expect("less than 4 GiB"));
    out.extend(bytes);
}

/// Appends an `mpint` that is not negative: `magnitude` without its leading zero bytes, and a zero
/// byte in front if the top bit is set. `magnitude` is unsigned, most significant byte first.
///
/// # Panics
///
/// If it is 4 GiB or longer.
pub fn put_mpint(out: &mut Vec<u8>, magnitude: &[u8]) {
    let zeros = magnitude.iter().take_while(|&&byte| byte == 0).count();
    let number = &magnitude[zeros..];
    put_nested(out, |out| {
        if number.first().is_some_and(|byte| byte & 0x80 != 0) {
            out.push(0);
        }
        out.extend(number);
    });
}

/// Appends the fields that `fill` writes, as one `string`.
///
/// # Panics
///
/// If they are 4 GiB or longer.
pub fn put_nested(out: &mut Vec<u8>, fill: impl FnOnce(&mut Vec<u8>)) {
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

    /// RFC 4251 section 5: the examples of `mpint`, and what OpenSSH refuses.
    #[test]
    fn a_number_has_one_encoding() {
        for number in [&[][..], &[1], &[0x80], &[0xff; 2048]] {
            let mut out = Vec::new();
            put_mpint(&mut out, &[&[0, 0], number].concat());
            assert_eq!(Reader::new(&out, "example").mpint().unwrap(), number);
        }
        let read = |bytes: &[u8]| {
            let mut out = Vec::new();
            put_string(&mut out, bytes);
            let result = Reader::new(&out, "example").mpint().map(<[u8]>::to_vec);
            result.map_err(|err| err.to_string())
        };
        assert_eq!(read(&[]), Ok(vec![]));
        let nine = [0x09, 0xa3, 0x78, 0xf9, 0xb2, 0xe3, 0x32, 0xa7];
        assert_eq!(read(&nine), Ok(nine.to_vec()));
        assert_eq!(read(&[0, 0x80]), Ok(vec![0x80]));
        assert_eq!(
            read(&[&[0][..], &[0xff; 2048]].concat()),
            Ok(vec![0xff; 2048])
        );
        let malformed = |why: &str| Err(format!("the example is malformed: {why}"));
        assert_eq!(read(&[0xed, 0xcc]), malformed("a number in it is negative"));
        for zeros in [&[0][..], &[0, 0x7f], &[0, 0, 0x80]] {
            assert_eq!(
                read(zeros),
                malformed("a number in it begins with needless zeros")
            );
        }
        assert_eq!(
            read(&[1; 2049]),
            malformed("a number in it has more than 16384 bits")
        );
    }
}
