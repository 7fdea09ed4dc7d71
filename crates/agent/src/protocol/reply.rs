//! What the agent answers.

use super::wire::put_string;
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
    Identities(Vec<Listed>),
    /// A signature: the name of its algorithm, then its numbers.
    Signature(Vec<u8>),
    /// The extension is known, and was not done.
    ExtensionFailure,
    /// What the extension of this name gave.
    Extension(&'static str, Vec<u8>),
    /// The names of the extensions.
    Query,
    /// What another agent answered, passed on as it is.
    Forwarded(Vec<u8>),
}

/// A key in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The blob of a key or certificate.
    pub blob: Vec<u8>,
    /// Its comment.
    pub comment: Vec<u8>,
}

impl Reply {
    /// The message. Keys that do not fit into a frame any more are left out of a list.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Failure => vec![FAILURE],
            Self::Success => vec![SUCCESS],
            Self::ExtensionFailure => vec![EXTENSION_FAILURE],
            Self::Identities(keys) => identities(keys),
            Self::Signature(blob) => {
                let mut out = vec![SIGN_RESPONSE];
                put_string(&mut out, blob);
                out
            }
            Self::Extension(name, contents) => {
                let mut out = vec![EXTENSION_RESPONSE];
                put_string(&mut out, name.as_bytes());
                out.extend_from_slice(contents);
                out
            }
            Self::Query => {
                let mut names = Vec::new();
                for name in EXTENSIONS {
                    put_string(&mut names, name.as_bytes());
                }
                Self::Extension(QUERY, names).encode()
            }
            Self::Forwarded(message) => message.clone(),
        }
    }
}

fn identities(keys: &[Listed]) -> Vec<u8> {
    let mut entries = Vec::new();
    let mut count = 0_u32;
    for key in keys {
        if 5 + entries.len() + 8 + key.blob.len() + key.comment.len() > MAX_FRAME {
            log::warn!("a list of keys was cut: it is longer than a message may be");
            break;
        }
        put_string(&mut entries, &key.blob);
        put_string(&mut entries, &key.comment);
        count += 1;
    }
    let mut out = vec![IDENTITIES_ANSWER];
    out.extend_from_slice(&count.to_be_bytes());
    out.append(&mut entries);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::Reader;

    #[test]
    fn a_list_is_a_count_and_pairs() {
        let key = Listed {
            blob: b"ab".to_vec(),
            comment: b"c".to_vec(),
        };
        let message = Reply::Identities(vec![key]).encode();
        assert_eq!(message, b"\x0c\0\0\0\x01\0\0\0\x02ab\0\0\0\x01c");
        assert_eq!(Reply::Identities(vec![]).encode(), b"\x0c\0\0\0\0");
    }

    #[test]
    fn a_list_fits_a_frame() {
        let key = Listed {
            blob: vec![0; 1000],
            comment: vec![],
        };
        let message = Reply::Identities(vec![key; 300]).encode();
        assert!(message.len() <= MAX_FRAME);
        assert_eq!(message[1..5], 260_u32.to_be_bytes());
    }

    /// A27. RFC 9987: the answer repeats "query", then names the extensions, with nothing
    /// counted or wrapped around them.
    #[test]
    fn query_names_the_extensions() {
        let message = Reply::Query.encode();
        let mut reader = Reader::new(&message);
        assert_eq!(reader.byte(), Ok(29));
        assert_eq!(reader.text(), Ok("query"));
        for name in EXTENSIONS {
            assert_eq!(reader.text(), Ok(name));
        }
        assert_eq!(reader.end(), Ok(()));
    }
}
