//! The bytes of a message: a header of numbers and fields, and a body of arguments.
//!
//! # Source
//!
//! D-Bus Specification, "Message Format".

use crate::{
    Error, MAX_MESSAGE,
    marshal::{Reader, Writer},
};

use super::{Kind, Message};

/// The length of the fixed header in bytes: four bytes, and three numbers of 32 bits.
const FIXED: usize = 16;

/// Codes of header fields.
mod field {
    pub(super) const PATH: u8 = 1;
    pub(super) const INTERFACE: u8 = 2;
    pub(super) const MEMBER: u8 = 3;
    pub(super) const ERROR_NAME: u8 = 4;
    pub(super) const REPLY_SERIAL: u8 = 5;
    pub(super) const DESTINATION: u8 = 6;
    pub(super) const SENDER: u8 = 7;
    pub(super) const SIGNATURE: u8 = 8;
    pub(super) const UNIX_FDS: u8 = 9;
}

impl Message {
    /// Its bytes, little-endian, with the serial number `serial`, which must not be 0.
    ///
    /// # Panics
    ///
    /// If a name in it is 4 GiB or longer.
    #[must_use]
    pub fn encode(&self, serial: u32) -> Vec<u8> {
        let mut fields = Writer::default();
        for (code, kind, value) in [
            (field::PATH, "o", &self.path),
            (field::INTERFACE, "s", &self.interface),
            (field::MEMBER, "s", &self.member),
            (field::ERROR_NAME, "s", &self.error),
            (field::DESTINATION, "s", &self.destination),
            (field::SENDER, "s", &self.sender),
        ] {
            if let Some(value) = value {
                begin(&mut fields, code, kind);
                fields.string(value);
            }
        }
        for (code, value) in [
            (field::REPLY_SERIAL, self.reply_to),
            (
                field::UNIX_FDS,
                Some(self.descriptors).filter(|&count| count > 0),
            ),
        ] {
            if let Some(value) = value {
                begin(&mut fields, code, "u");
                fields.u32(value);
            }
        }
        if !self.signature.is_empty() {
            begin(&mut fields, field::SIGNATURE, "g");
            fields.signature(&self.signature);
        }
        let length = |bytes: &[u8]| u32::try_from(bytes.len()).expect("a message is short");
        let kind = match self.kind {
            Kind::Call => 1,
            Kind::Return => 2,
            Kind::Error => 3,
            Kind::Signal => 4,
            Kind::Unknown => 0,
        };
        let mut out = Writer(vec![b'l', kind, 0, 1]);
        out.u32(length(&self.body.0));
        out.u32(serial);
        out.u32(length(&fields.0));
        out.0.append(&mut fields.0);
        out.align(8);
        out.0.extend(&self.body.0);
        out.0
    }

    /// Parses `bytes`, which must be exactly one message.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Error> {
        let malformed = Error::Malformed("message");
        let [order, kind, _flags, _version, ..] = *bytes else {
            return Err(malformed);
        };
        let little = order == b'l';
        let mut fixed = Reader::new(bytes.get(4..FIXED).ok_or(malformed)?, little);
        let (_, serial, fields) = (fixed.u32()?, fixed.u32()?, fixed.u32()?);
        let fields = usize::try_from(fields).map_err(|_| Error::TooLong)?;
        let end = FIXED.checked_add(fields).ok_or(malformed)?;
        let body = bytes.get(end.next_multiple_of(8)..).ok_or(malformed)?;
        let mut fields = Reader::new(bytes.get(FIXED..end).ok_or(malformed)?, little);
        let mut message = Self {
            kind: match kind {
                0 => return Err(malformed),
                1 => Kind::Call,
                2 => Kind::Return,
                3 => Kind::Error,
                4 => Kind::Signal,
                _ => Kind::Unknown,
            },
            serial,
            reply_to: None,
            path: None,
            interface: None,
            member: None,
            error: None,
            destination: None,
            sender: None,
            descriptors: 0,
            signature: String::new(),
            body: Writer(body.to_vec()),
            little,
        };
        loop {
            fields.align(8);
            if fields.is_empty() {
                return Ok(message);
            }
            message.read_field(&mut fields)?;
        }
    }

    /// Reads one header field: a code, the signature of one value, and the value.
    fn read_field(&mut self, fields: &mut Reader<'_>) -> Result<(), Error> {
        let code = fields.byte()?;
        let mut kind = fields.signature()?;
        let text = match code {
            field::PATH => &mut self.path,
            field::INTERFACE => &mut self.interface,
            field::MEMBER => &mut self.member,
            field::ERROR_NAME => &mut self.error,
            field::DESTINATION => &mut self.destination,
            field::SENDER => &mut self.sender,
            field::REPLY_SERIAL if kind == "u" => {
                self.reply_to = Some(fields.u32()?);
                return Ok(());
            }
            field::UNIX_FDS if kind == "u" => {
                self.descriptors = fields.u32()?;
                return Ok(());
            }
            field::SIGNATURE if kind == "g" => {
                fields.signature()?.clone_into(&mut self.signature);
                return Ok(());
            }
            field::REPLY_SERIAL | field::UNIX_FDS | field::SIGNATURE => {
                return Err(Error::Malformed("header field"));
            }
            _ => {
                fields.skip(&mut kind)?;
                return if kind.is_empty() {
                    Ok(())
                } else {
                    Err(Error::Malformed("header field"))
                };
            }
        };
        if !matches!(kind, "s" | "o") {
            return Err(Error::Malformed("header field"));
        }
        *text = Some(fields.string()?.to_owned());
        Ok(())
    }
}

/// Begins a header field: its code, and the signature of the value that comes next.
fn begin(fields: &mut Writer, code: u8, kind: &str) {
    fields.align(8);
    fields.byte(code);
    fields.signature(kind);
}

/// The length in bytes of the message at the start of `bytes`; `None` if there are too few bytes to
/// tell.
pub(crate) fn length(bytes: &[u8]) -> Result<Option<usize>, Error> {
    if bytes.first().is_some_and(|order| !b"lB".contains(order)) {
        return Err(Error::Malformed("message"));
    }
    let Some(fixed) = bytes.get(..FIXED) else {
        return Ok(None);
    };
    if fixed[3] != 1 {
        return Err(Error::Malformed("message"));
    }
    let mut numbers = Reader::new(&fixed[4..], fixed[0] == b'l');
    let (body, _serial, fields) = (numbers.u32()?, numbers.u32()?, numbers.u32()?);
    let size = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
    let fields = size(fields).checked_next_multiple_of(8);
    let len = fields.and_then(|fields| fields.checked_add(size(body)));
    let len = len.and_then(|len| len.checked_add(FIXED));
    match len {
        Some(len) if len <= MAX_MESSAGE => Ok(Some(len)),
        _ => Err(Error::TooLong),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The reply of freedesktop.org's bus to `Hello`, byte for byte.
    const HELLO: &[u8] = b"l\x02\x01\x01\x09\0\0\0\x01\0\0\0\x3d\0\0\0\
        \x06\x01s\0\x04\0\0\0:1.0\0\0\0\0\
        \x05\x01u\0\x01\0\0\0\
        \x08\x01g\0\x01s\0\0\
        \x07\x01s\0\x14\0\0\0org.freedesktop.DBus\0\0\0\0\
        \x04\0\0\0:1.0\0";

    #[test]
    fn the_reply_of_a_bus_is_read() {
        let message = Message::decode(HELLO).unwrap();
        assert_eq!(message.kind, Kind::Return);
        assert_eq!(message.reply_to, Some(1));
        assert_eq!(message.sender.as_deref(), Some("org.freedesktop.DBus"));
        let mut arguments = message.arguments();
        assert_eq!(arguments.text(), Ok(":1.0"));
        assert_eq!(arguments.text(), Err(Error::Malformed("argument")));
        for len in 0..HELLO.len() - 9 {
            assert!(Message::decode(&HELLO[..len]).is_err(), "{len}");
        }
    }

    #[test]
    fn a_field_that_is_not_known_is_skipped() {
        // Code 200 with an array of strings, before a known field.
        let mut fields = Writer::default();
        begin(&mut fields, 200, "as");
        fields.u32(6);
        fields.string("x");
        begin(&mut fields, field::REPLY_SERIAL, "u");
        fields.u32(7);
        let mut out = Writer(vec![b'l', 2, 0, 1]);
        out.u32(0);
        out.u32(1);
        out.u32(fields.0.len().try_into().unwrap());
        out.0.append(&mut fields.0);
        out.align(8);
        let message = Message::decode(&out.0).unwrap();
        assert_eq!(message.reply_to, Some(7));
    }

    fn name() -> impl Strategy<Value = Option<String>> {
        proptest::option::of("[a-zA-Z.]{1,30}")
    }

    prop_compose! {
        fn any_message()(
            kind in 1_u8..5,
            names in proptest::array::uniform6(name()),
            reply_to: Option<u32>,
            descriptors: u32,
            arguments in proptest::collection::vec((0..4, any::<u64>(), ".{0,20}"), 0..6),
        ) -> Message {
            let mut message = Message::call("", "", "");
            message.kind = [Kind::Call, Kind::Return, Kind::Error, Kind::Signal][usize::from(kind) - 1];
            [message.path, message.interface, message.member, message.error,
             message.destination, message.sender] = names;
            message.reply_to = reply_to;
            message.descriptors = descriptors;
            for (which, number, text) in arguments {
                message = match which {
                    0 => message.text(&text.replace('\0', "")),
                    1 => message.number(number as u32),
                    2 => message.long(number),
                    _ => message.boolean(number & 1 == 1),
                };
            }
            message
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(message in any_message(), serial in 1_u32..) {
            let bytes = message.encode(serial);
            prop_assert_eq!(length(&bytes), Ok(Some(bytes.len())));
            let read = Message::decode(&bytes).unwrap();
            prop_assert_eq!(read.serial, serial);
            prop_assert_eq!(Message { serial: message.serial, ..read }, message);
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
            let _ = Message::decode(&bytes);
            let _ = length(&bytes);
        }

        #[test]
        fn a_changed_byte_is_no_panic(message in any_message(), at: proptest::sample::Index, byte: u8) {
            let mut bytes = message.encode(1);
            let at = at.index(bytes.len());
            bytes[at] = byte;
            if let Ok(read) = Message::decode(&bytes) {
                let mut arguments = read.arguments();
                while arguments.text().is_ok() || arguments.long().is_ok() {}
            }
        }
    }
}
