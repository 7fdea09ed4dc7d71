//! The wire format of values: alignment, byte order, strings, and skipping unknown values.
//!
//! # Source
//!
//! D-Bus Specification, "Marshaling (Wire Format)".

use crate::Error;

/// The deepest nesting of arrays, structures and variants in a skipped value. The specification
/// allows 64.
const MAX_DEPTH: u32 = 16;

/// Writes little-endian values with the alignment of their types.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Writer(pub(crate) Vec<u8>);

impl Writer {
    pub(crate) fn align(&mut self, to: usize) {
        self.0.resize(self.0.len().next_multiple_of(to), 0);
    }

    pub(crate) fn byte(&mut self, value: u8) {
        self.0.push(value);
    }

    pub(crate) fn u32(&mut self, value: u32) {
        self.align(4);
        self.0.extend(value.to_le_bytes());
    }

    pub(crate) fn u64(&mut self, value: u64) {
        self.align(8);
        self.0.extend(value.to_le_bytes());
    }

    /// A STRING or OBJECT_PATH.
    ///
    /// # Panics
    ///
    /// If it is 4 GiB or longer. Callers write names, which are short.
    pub(crate) fn string(&mut self, text: &str) {
        self.u32(u32::try_from(text.len()).expect("a name is short"));
        self.0.extend(text.bytes());
        self.0.push(0);
    }

    /// A SIGNATURE.
    ///
    /// # Panics
    ///
    /// If it is longer than 255 bytes. Callers write the types of a few arguments.
    pub(crate) fn signature(&mut self, types: &str) {
        self.byte(u8::try_from(types.len()).expect("a signature is short"));
        self.0.extend(types.bytes());
        self.0.push(0);
    }
}

/// Reads values. Alignment counts from the start of the bytes that it was given, which must be at a
/// multiple of 8 in the message.
#[derive(Debug, Clone)]
pub(crate) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
    little: bool,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8], little: bool) -> Self {
        let at = 0;
        Self { bytes, at, little }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.at >= self.bytes.len()
    }

    pub(crate) fn align(&mut self, to: usize) {
        self.at = self.at.next_multiple_of(to);
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], Error> {
        let end = self.at.checked_add(len);
        let bytes = end.and_then(|end| self.bytes.get(self.at..end));
        let bytes = bytes.ok_or(Error::Malformed("value"))?;
        self.at += len;
        Ok(bytes)
    }

    pub(crate) fn byte(&mut self) -> Result<u8, Error> {
        Ok(self.take(1)?[0])
    }

    pub(crate) fn u32(&mut self) -> Result<u32, Error> {
        self.align(4);
        let bytes = self.take(4)?;
        let bytes = [bytes[0], bytes[1], bytes[2], bytes[3]];
        Ok(if self.little {
            u32::from_le_bytes(bytes)
        } else {
            u32::from_be_bytes(bytes)
        })
    }

    pub(crate) fn u64(&mut self) -> Result<u64, Error> {
        self.align(8);
        let mut bytes = [0; 8];
        bytes.copy_from_slice(self.take(8)?);
        Ok(if self.little {
            u64::from_le_bytes(bytes)
        } else {
            u64::from_be_bytes(bytes)
        })
    }

    /// A STRING or OBJECT_PATH.
    pub(crate) fn string(&mut self) -> Result<&'a str, Error> {
        let len = usize::try_from(self.u32()?).map_err(|_| Error::TooLong)?;
        self.text(len)
    }

    /// A SIGNATURE.
    pub(crate) fn signature(&mut self) -> Result<&'a str, Error> {
        let len = usize::from(self.byte()?);
        self.text(len)
    }

    fn text(&mut self, len: usize) -> Result<&'a str, Error> {
        let malformed = Error::Malformed("string");
        let text = self.take(len)?;
        if self.byte()? != 0 || text.contains(&0) {
            return Err(malformed);
        }
        std::str::from_utf8(text).map_err(|_| malformed)
    }

    /// Skips one value of the type at the start of `types`, and that type.
    pub(crate) fn skip(&mut self, types: &mut &str) -> Result<(), Error> {
        self.skip_nested(types, MAX_DEPTH)
    }

    fn skip_nested(&mut self, types: &mut &str, depth: u32) -> Result<(), Error> {
        let malformed = Error::Malformed("signature");
        let depth = depth.checked_sub(1).ok_or(malformed)?;
        let mut rest = types.chars();
        let code = rest.next().ok_or(malformed)?;
        *types = rest.as_str();
        match code {
            'y' => self.take(1).map(drop),
            'n' | 'q' => {
                self.align(2);
                self.take(2).map(drop)
            }
            'b' | 'i' | 'u' | 'h' => self.u32().map(drop),
            'x' | 't' | 'd' => self.u64().map(drop),
            's' | 'o' => self.string().map(drop),
            'g' => self.signature().map(drop),
            'v' => {
                let mut inner = self.signature()?;
                self.skip_nested(&mut inner, depth)?;
                inner.is_empty().then_some(()).ok_or(malformed)
            }
            'a' => {
                let len = usize::try_from(self.u32()?).map_err(|_| Error::TooLong)?;
                self.align(alignment(types).ok_or(malformed)?);
                self.take(len)?;
                past_type(types, depth)
            }
            '(' | '{' => {
                self.align(8);
                let end = if code == '(' { ')' } else { '}' };
                loop {
                    self.skip_nested(types, depth)?;
                    if let Some(rest) = types.strip_prefix(end) {
                        *types = rest;
                        return Ok(());
                    }
                }
            }
            _ => Err(malformed),
        }
    }
}

/// The alignment of the type at the start of `types`.
fn alignment(types: &str) -> Option<usize> {
    Some(match types.chars().next()? {
        'y' | 'g' | 'v' => 1,
        'n' | 'q' => 2,
        'b' | 'i' | 'u' | 'h' | 's' | 'o' | 'a' => 4,
        'x' | 't' | 'd' | '(' | '{' => 8,
        _ => return None,
    })
}

/// Skips the type at the start of `types`.
fn past_type(types: &mut &str, depth: u32) -> Result<(), Error> {
    let malformed = Error::Malformed("signature");
    let depth = depth.checked_sub(1).ok_or(malformed)?;
    let mut rest = types.chars();
    let code = rest.next().ok_or(malformed)?;
    *types = rest.as_str();
    let end = match code {
        'a' => return past_type(types, depth),
        '(' => ')',
        '{' => '}',
        _ => return Ok(()),
    };
    loop {
        past_type(types, depth)?;
        if let Some(rest) = types.strip_prefix(end) {
            *types = rest;
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn each_type_is_skipped_to_its_end() {
        let mut writer = Writer::default();
        writer.byte(7); // y
        writer.u32(1); // u
        writer.string("text"); // s
        writer.signature("a{sv}"); // g
        writer.u64(9); // t
        writer.u32(9); // ay, of 9 bytes
        writer.0.extend([0; 9]);
        writer.u32(8); // at, of one
        writer.u64(1);
        writer.signature("(yu)"); // v
        writer.align(8);
        writer.byte(1);
        writer.u32(2);
        writer.u32(0xfeed); // u
        let mut reader = Reader::new(&writer.0, true);
        let mut types = "yusgtayatvu";
        for _ in 0..8 {
            reader.skip(&mut types).unwrap();
        }
        assert_eq!(types, "u");
        assert_eq!(reader.u32(), Ok(0xfeed));
        assert!(reader.is_empty());
    }

    #[test]
    fn nesting_without_end_is_refused() {
        let zeros = [0; 256];
        for types in [
            "v",
            &"a".repeat(40),
            &"(".repeat(40),
            "",
            "z",
            "a",
            "()",
            "(u",
        ] {
            // A variant that holds a variant, and so on.
            let variants = b"\x01v\0".repeat(40);
            let bytes = if types == "v" { &variants[..] } else { &zeros };
            let mut reader = Reader::new(bytes, true);
            let mut left = types;
            assert!(reader.skip(&mut left).is_err(), "{types}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_of_any_type_are_skipped_or_refused(
            bytes: Vec<u8>, types in "[ybnqiuxtdhsogva(){}z]{0,20}", little: bool,
        ) {
            let mut reader = Reader::new(&bytes, little);
            let mut types = &types[..];
            while !types.is_empty() && reader.skip(&mut types).is_ok() {}
        }
    }
}
