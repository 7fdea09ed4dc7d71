//! What the agent answers.

use super::put_string;
use super::{EXTENSIONS, MAX_FRAME, QUERY};

const FAILURE: u8 = 5;
const SUCCESS: u8 = 6;
const IDENTITIES_ANSWER: u8 = 12;
const SIGN_RESPONSE: u8 = 14;
const EXTENSION_FAILURE: u8 = 28;
const EXTENSION_RESPONSE: u8 = 29;

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// It was not done, or not understood.
    Failure,
    /// It was done.
    Success,
    /// The keys.
    Identities(KeyList),
    /// A signature: the name of its algorithm, then its numbers.
    Signature(Vec<u8>),
    /// The extension is known, and was not done.
    ExtensionFailure,
    /// What the extension of this name gave.
    Extension(&'static str, Vec<u8>),
    /// The names of the extensions.
    Query,
    /// The answer of another agent, passed on unchanged.
    Forwarded(Vec<u8>),
}

/// The keys, as many of them as clients take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyList {
    /// The message, in which the count is still missing.
    message: Vec<u8>,
    count: u32,
    is_full: bool,
}

impl KeyList {
    /// With more keys than this, OpenSSH takes a list for malformed: `MAX_AGENT_IDENTITIES` in
    /// its `authfd.c`.
    const MAX_KEYS: u32 = 2048;

    /// Adds a key, by the blob of itself or of a certificate. One that does not fit any more is
    /// left out, and so is all that comes after it.
    pub fn add(&mut self, blob: &[u8], comment: &[u8]) {
        let len = self.message.len() + 8 + blob.len() + comment.len();
        if !self.is_full && (len > MAX_FRAME || self.count == Self::MAX_KEYS) {
            log::warn!("a list of keys was cut: it is longer than clients take");
            self.is_full = true;
        }
        if !self.is_full {
            put_string(&mut self.message, blob);
            put_string(&mut self.message, comment);
            self.count += 1;
        }
    }

    /// Whether a key was left out.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.is_full
    }

    fn encode(mut self) -> Vec<u8> {
        self.message[1..5].copy_from_slice(&self.count.to_be_bytes());
        self.message
    }
}

impl Default for KeyList {
    fn default() -> Self {
        Self {
            message: vec![IDENTITIES_ANSWER, 0, 0, 0, 0],
            count: 0,
            is_full: false,
        }
    }
}

/// A key in the list of another agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The blob of a key or certificate.
    pub blob: Vec<u8>,
    /// Its comment.
    pub comment: Vec<u8>,
}

impl Reply {
    /// The message.
    #[must_use]
    pub fn encode(self) -> Vec<u8> {
        match self {
            Self::Failure => vec![FAILURE],
            Self::Success => vec![SUCCESS],
            Self::ExtensionFailure => vec![EXTENSION_FAILURE],
            Self::Identities(keys) => keys.encode(),
            Self::Signature(blob) => {
                let mut out = vec![SIGN_RESPONSE];
                put_string(&mut out, &blob);
                out
            }
            Self::Extension(name, contents) => {
                let mut out = vec![EXTENSION_RESPONSE];
                put_string(&mut out, name.as_bytes());
                out.extend_from_slice(&contents);
                out
            }
            Self::Query => {
                let mut names = Vec::new();
                for name in EXTENSIONS {
                    put_string(&mut names, name.as_bytes());
                }
                Self::Extension(QUERY, names).encode()
            }
            Self::Forwarded(message) => message,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::fields;

    /// A list of `count` keys with this blob.
    fn list(count: usize, blob: &[u8]) -> KeyList {
        let mut list = KeyList::default();
        for _ in 0..count {
            list.add(blob, b"c");
        }
        list
    }

    #[test]
    fn a_list_is_a_count_and_pairs() {
        let message = Reply::Identities(list(1, b"ab")).encode();
        assert_eq!(message, b"\x0c\0\0\0\x01\0\0\0\x02ab\0\0\0\x01c");
        assert_eq!(Reply::Identities(list(0, b"")).encode(), b"\x0c\0\0\0\0");
    }

    #[test]
    fn a_list_fits_a_frame() {
        assert!(!list(259, &[0; 1000]).is_full());
        let mut cut = list(300, &[0; 1000]);
        assert!(cut.is_full());
        cut.add(b"what is short", b"is not put in its place");
        let message = Reply::Identities(cut).encode();
        assert!(message.len() <= MAX_FRAME);
        assert_eq!(message[1..5], 259_u32.to_be_bytes());
    }

    /// As `ssh-add -l` of OpenSSH 9.2 shows, which says "invalid format" to one key more.
    #[test]
    fn a_list_has_no_more_keys_than_openssh_takes() {
        assert!(!list(2048, b"ab").is_full());
        let message = Reply::Identities(list(2049, b"ab")).encode();
        assert_eq!(message[1..5], 2048_u32.to_be_bytes());
    }

    /// RFC 9987: the answer repeats "query", then names the extensions, without a
    /// count and without further framing.
    #[test]
    fn query_names_the_extensions() {
        let message = Reply::Query.encode();
        let mut reader = fields(&message);
        assert_eq!(reader.byte().unwrap(), 29);
        assert_eq!(reader.text("name").unwrap(), "query");
        for name in EXTENSIONS {
            assert_eq!(reader.text("name").unwrap(), name);
        }
        reader.finish().unwrap();
    }
}
