//! D-Bus messages: the few that are sent, and of those that come what has to be known.
//!
//! # Source
//!
//! The D-Bus specification, "Message Format" and "Marshaling".

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt};

/// The longest message that is read; the signals are some hundred bytes.
const MAX_LEN: usize = 64 * 1024;
/// What every message begins with: four bytes, three numbers.
const FIXED: usize = 16;

const PATH: u8 = 1;
const INTERFACE: u8 = 2;
const MEMBER: u8 = 3;
const DESTINATION: u8 = 6;
const SIGNATURE: u8 = 8;

/// What sort of message it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Signal,
    Error,
    Other,
}

/// A message that came in.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) kind: Kind,
    /// The name of the signal or method; may be empty.
    pub(super) member: String,
    body: Vec<u8>,
    little: bool,
}

impl Message {
    /// Reads the next message.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::InvalidData`] if it is none, and those of the connection.
    pub(super) async fn read(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Self> {
        let mut fixed = [0; FIXED];
        from.read_exact(&mut fixed).await?;
        let len = length(&fixed).ok_or(io::ErrorKind::InvalidData)?;
        let mut rest = vec![0; len];
        from.read_exact(&mut rest).await?;
        Self::decode(&fixed, &rest).ok_or(io::ErrorKind::InvalidData.into())
    }

    fn decode(fixed: &[u8; FIXED], rest: &[u8]) -> Option<Self> {
        let little = fixed[0] == b'l';
        let fields_len = number(&fixed[12..16], little)?;
        let mut member = String::new();
        let mut fields = Fields {
            bytes: rest.get(..fields_len)?,
            at: 0,
            little,
        };
        while let Some((code, value)) = fields.next()? {
            if code == MEMBER {
                member = String::from_utf8(value.to_vec()).ok()?;
            }
        }
        Some(Self {
            kind: match fixed[1] {
                3 => Kind::Error,
                4 => Kind::Signal,
                _ => Kind::Other,
            },
            member,
            body: rest.get(fields_len.next_multiple_of(8)..)?.to_vec(),
            little,
        })
    }

    /// The first argument as a `BOOLEAN`; `false` if there is none.
    pub(super) fn boolean(&self) -> bool {
        let first = self.body.get(..4);
        first.and_then(|first| number(first, self.little)) == Some(1)
    }
}

/// How many bytes follow the fixed part; `None` if it is no message, or one too long.
fn length(fixed: &[u8; FIXED]) -> Option<usize> {
    if !matches!(fixed[0], b'l' | b'B') || fixed[3] != 1 {
        return None;
    }
    let little = fixed[0] == b'l';
    let body = number(&fixed[4..8], little)?;
    let fields = number(&fixed[12..16], little)?.checked_next_multiple_of(8)?;
    body.checked_add(fields).filter(|&len| len <= MAX_LEN)
}

fn number(bytes: &[u8], little: bool) -> Option<usize> {
    let bytes = bytes.try_into().ok()?;
    let number = if little {
        u32::from_le_bytes(bytes)
    } else {
        u32::from_be_bytes(bytes)
    };
    usize::try_from(number).ok()
}

/// The header fields: an array of a code and a variant. It begins at a multiple of 8, so that
/// positions in it are as well aligned as in the message.
struct Fields<'a> {
    bytes: &'a [u8],
    at: usize,
    little: bool,
}

impl<'a> Fields<'a> {
    /// The next field: its code, and its value if that is a text, else nothing. `None` for
    /// what is no field.
    fn next(&mut self) -> Option<Option<(u8, &'a [u8])>> {
        self.at = self.at.next_multiple_of(8);
        if self.at >= self.bytes.len() {
            return Some(None);
        }
        let code = self.take(1)?[0];
        let signature = self.short()?;
        let value = match signature {
            b"s" | b"o" => {
                let len = self.number()?;
                let text = self.take(len)?;
                self.take(1)?;
                text
            }
            b"g" => self.short()?,
            b"u" => {
                self.number()?;
                &[]
            }
            _ => return None,
        };
        Some(Some((code, value)))
    }

    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let end = self.at.checked_add(len)?;
        let bytes = self.bytes.get(self.at..end)?;
        self.at = end;
        Some(bytes)
    }

    fn number(&mut self) -> Option<usize> {
        self.at = self.at.next_multiple_of(4);
        number(self.take(4)?, self.little)
    }

    /// A `SIGNATURE`: its length in one byte, and a zero byte after it.
    fn short(&mut self) -> Option<&'a [u8]> {
        let len = usize::from(self.take(1)?[0]);
        let text = self.take(len)?;
        self.take(1)?;
        Some(text)
    }
}

/// A call of a method of the bus itself, with texts as its arguments.
pub(super) fn call(serial: u32, method: &str, arguments: &[&str]) -> Vec<u8> {
    let mut body = Vec::new();
    for argument in arguments {
        put_text(&mut body, argument);
    }
    let fields = [
        (PATH, b'o', "/org/freedesktop/DBus"),
        (INTERFACE, b's', "org.freedesktop.DBus"),
        (MEMBER, b's', method),
        (DESTINATION, b's', "org.freedesktop.DBus"),
    ];
    encode(1, serial, &fields, &"s".repeat(arguments.len()), &body)
}

fn encode(kind: u8, serial: u32, fields: &[(u8, u8, &str)], types: &str, body: &[u8]) -> Vec<u8> {
    let mut array = Vec::new();
    for (code, kind, value) in fields {
        pad(&mut array, 8);
        array.extend([*code, 1, *kind, 0]);
        put_text(&mut array, value);
    }
    if !types.is_empty() {
        pad(&mut array, 8);
        array.extend([SIGNATURE, 1, b'g', 0]);
        array.push(u8::try_from(types.len()).expect("a call has few arguments"));
        array.extend(types.as_bytes());
        array.push(0);
    }
    let mut out = vec![b'l', kind, 0, 1];
    put_len(&mut out, body.len());
    out.extend(serial.to_le_bytes());
    put_len(&mut out, array.len());
    out.append(&mut array);
    pad(&mut out, 8);
    out.extend(body);
    out
}

fn pad(out: &mut Vec<u8>, to: usize) {
    out.resize(out.len().next_multiple_of(to), 0);
}

fn put_len(out: &mut Vec<u8>, len: usize) {
    let len = u32::try_from(len).expect("what is sent is short");
    out.extend(len.to_le_bytes());
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    pad(out, 4);
    put_len(out, text.len());
    out.extend(text.as_bytes());
    out.push(0);
}

/// A signal as logind sends it, for tests.
#[cfg(test)]
pub(super) fn signal(serial: u32, interface: &str, name: &str, argument: Option<bool>) -> Vec<u8> {
    let fields = [
        (PATH, b'o', "/org/freedesktop/login1"),
        (INTERFACE, b's', interface),
        (MEMBER, b's', name),
    ];
    let body = argument.map_or(Vec::new(), |yes| u32::from(yes).to_le_bytes().to_vec());
    let types = if argument.is_some() { "b" } else { "" };
    encode(4, serial, &fields, types, &body)
}

/// The call by which a program takes a name on the bus, for tests.
#[cfg(test)]
pub(super) fn request_name(serial: u32, name: &str) -> Vec<u8> {
    let mut body = Vec::new();
    put_text(&mut body, name);
    pad(&mut body, 4);
    body.extend([0; 4]);
    let fields = [
        (PATH, b'o', "/org/freedesktop/DBus"),
        (INTERFACE, b's', "org.freedesktop.DBus"),
        (MEMBER, b's', "RequestName"),
        (DESTINATION, b's', "org.freedesktop.DBus"),
    ];
    encode(1, serial, &fields, "su", &body)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[tokio::test]
    async fn a_signal_is_read_as_it_is_written() {
        let bytes = signal(7, "a.b", "PrepareForSleep", Some(true));
        let message = Message::read(&mut &bytes[..]).await.unwrap();
        assert_eq!(message.kind, Kind::Signal);
        assert_eq!(message.member, "PrepareForSleep");
        assert!(message.boolean());
        for len in 0..bytes.len() {
            assert!(Message::read(&mut &bytes[..len]).await.is_err(), "{len}");
        }
    }

    #[test]
    fn what_is_too_long_is_not_read() {
        let mut fixed = *b"l\x04\0\x01\0\0\0\0\x01\0\0\0\0\0\0\0";
        assert_eq!(length(&fixed), Some(0));
        fixed[6] = 2;
        assert_eq!(length(&fixed), None);
        fixed = *b"l\x04\0\x01\0\0\0\0\x01\0\0\0\xff\xff\xff\xff";
        assert_eq!(length(&fixed), None);
        fixed = *b"x\x04\0\x01\0\0\0\0\x01\0\0\0\0\0\0\0";
        assert_eq!(length(&fixed), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(fixed: [u8; FIXED], rest: Vec<u8>) {
            let _ = length(&fixed);
            let _ = Message::decode(&fixed, &rest);
        }
    }
}
