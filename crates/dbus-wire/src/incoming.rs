//! Splitting arriving bytes into lines and messages.

use crate::{Error, Message, message};

/// The longest message that is accepted, in bytes.
///
/// The specification allows 128 MiB. The replies and signals that clients of this crate wait for
/// have some hundred bytes.
pub const MAX_MESSAGE: usize = 64 * 1024;

/// The longest line of the handshake that is accepted, in bytes.
pub const MAX_LINE: usize = 1024;

/// Bytes that arrived and are not parsed yet.
///
/// It never holds more than one unfinished message and the bytes that were pushed last.
#[derive(Debug, Default)]
pub struct Incoming(Vec<u8>);

impl Incoming {
    /// Adds bytes that arrived.
    pub fn push(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// The next line of the handshake, without its end; `None` if it is not complete yet.
    ///
    /// # Errors
    ///
    /// [`Error::TooLong`] if no line ends within [`MAX_LINE`] bytes.
    pub fn line(&mut self) -> Result<Option<Vec<u8>>, Error> {
        let within = self.0.get(..MAX_LINE).unwrap_or(&self.0);
        let Some(end) = within.windows(2).position(|pair| pair == b"\r\n") else {
            return match self.0.len() {
                len if len >= MAX_LINE => Err(Error::TooLong),
                _ => Ok(None),
            };
        };
        let line = self.0[..end].to_vec();
        self.0.drain(..end + 2);
        Ok(Some(line))
    }

    /// The next message; `None` if it is not complete yet.
    ///
    /// # Errors
    ///
    /// [`Error::TooLong`] if it states more than [`MAX_MESSAGE`] bytes; [`Error::Malformed`]. The
    /// connection cannot be used after an error.
    pub fn message(&mut self) -> Result<Option<Message>, Error> {
        let Some(len) = message::length(&self.0)? else {
            return Ok(None);
        };
        let Some(bytes) = self.0.get(..len) else {
            return Ok(None);
        };
        let message = Message::decode(bytes)?;
        self.0.drain(..len);
        Ok(Some(message))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_line_is_whole_or_waited_for_or_too_long() {
        let mut incoming = Incoming::default();
        incoming.push(b"OK 1\r");
        assert_eq!(incoming.line(), Ok(None));
        incoming.push(b"\nAGREE_UNIX_FD\r\n");
        assert_eq!(incoming.line(), Ok(Some(b"OK 1".to_vec())));
        assert_eq!(incoming.line(), Ok(Some(b"AGREE_UNIX_FD".to_vec())));
        incoming.push(&[b'x'; MAX_LINE]);
        assert_eq!(incoming.line(), Err(Error::TooLong));
    }

    #[test]
    fn messages_come_whole_however_they_arrive() {
        let bytes = [
            Message::call("/a", "b.c", "One").text("x").encode(1),
            Message::call("/a", "b.c", "Two").encode(2),
        ]
        .concat();
        let mut incoming = Incoming::default();
        let mut seen = Vec::new();
        for byte in bytes {
            incoming.push(&[byte]);
            seen.extend(incoming.message().unwrap().and_then(|read| read.member));
        }
        assert_eq!(seen, ["One", "Two"]);
    }

    #[test]
    fn what_states_too_great_a_length_is_refused_at_once() {
        for (at, value) in [(4, u32::MAX), (12, u32::MAX), (4, 65_536), (12, 65_535)] {
            let mut head = *b"l\x02\0\x01\0\0\0\0\x01\0\0\0\0\0\0\0";
            head[at..at + 4].copy_from_slice(&value.to_le_bytes());
            let mut incoming = Incoming::default();
            incoming.push(&head);
            assert_eq!(incoming.message().err(), Some(Error::TooLong), "{at}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(chunks: Vec<Vec<u8>>) {
            let mut incoming = Incoming::default();
            for chunk in chunks {
                incoming.push(&chunk);
                let _ = incoming.line();
                let _ = incoming.message();
            }
        }
    }
}
