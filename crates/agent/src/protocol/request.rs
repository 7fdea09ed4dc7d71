//! What a client may ask.

use super::constraint::Constraints;
use super::{Malformed, Reader, fields};

const REQUEST_IDENTITIES: u8 = 11;
const SIGN_REQUEST: u8 = 13;
const ADD_IDENTITY: u8 = 17;
const REMOVE_IDENTITY: u8 = 18;
const REMOVE_ALL_IDENTITIES: u8 = 19;
const ADD_SMARTCARD_KEY: u8 = 20;
const REMOVE_SMARTCARD_KEY: u8 = 21;
const LOCK: u8 = 22;
const UNLOCK: u8 = 23;
const ADD_ID_CONSTRAINED: u8 = 25;
const ADD_SMARTCARD_KEY_CONSTRAINED: u8 = 26;
const EXTENSION: u8 = 27;

/// A message of a client; borrows from its frame.
#[derive(Debug)]
pub enum Request<'a> {
    /// List the keys.
    List,
    /// Sign something.
    Sign {
        /// The blob of the key, or of a certificate for it.
        key: &'a [u8],
        /// What to sign.
        data: &'a [u8],
        /// Which hash an RSA signature is to have.
        flags: u32,
    },
    /// Take a private key. It is not decoded: no software key is held here.
    AddSoftwareKey,
    /// Forget a key, named by its blob.
    Remove(&'a [u8]),
    /// Forget all keys.
    RemoveAll,
    /// Take the keys of a token.
    AddCard(Card<'a>, Constraints),
    /// Forget the keys of a token.
    RemoveCard(Card<'a>),
    /// Lock the agent with a passphrase.
    Lock(&'a [u8]),
    /// Unlock it with the same passphrase.
    Unlock(&'a [u8]),
    /// An extension: its name and its contents.
    Extension(&'a str, &'a [u8]),
    /// Something else, by its number.
    Unknown(u8),
}

/// A token: what `ssh-add -s` and `-e` name.
pub struct Card<'a> {
    /// For OpenSSH the path of a PKCS#11 module; here the word for a token.
    pub name: &'a str,
    /// The PIN; may be empty.
    pub pin: &'a [u8],
}

impl std::fmt::Debug for Card<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Card")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl<'a> Request<'a> {
    /// Reads a message: the type byte and what follows it.
    ///
    /// Bytes after a message that has no fields, or whose fields were all read, are ignored as
    /// OpenSSH ignores them; within constraints nothing is.
    ///
    /// # Errors
    ///
    /// [`Malformed`] if it ends too early or holds what cannot be there.
    pub fn decode(message: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = fields(message);
        Ok(match reader.byte()? {
            REQUEST_IDENTITIES => Self::List,
            SIGN_REQUEST => Self::Sign {
                key: reader.string()?,
                data: reader.string()?,
                flags: reader.u32()?,
            },
            ADD_IDENTITY | ADD_ID_CONSTRAINED => Self::AddSoftwareKey,
            REMOVE_IDENTITY => Self::Remove(reader.string()?),
            REMOVE_ALL_IDENTITIES => Self::RemoveAll,
            ADD_SMARTCARD_KEY => Self::AddCard(card(&mut reader)?, Constraints::default()),
            ADD_SMARTCARD_KEY_CONSTRAINED => {
                Self::AddCard(card(&mut reader)?, Constraints::decode(&mut reader)?)
            }
            REMOVE_SMARTCARD_KEY => Self::RemoveCard(card(&mut reader)?),
            LOCK => Self::Lock(reader.string()?),
            UNLOCK => Self::Unlock(reader.string()?),
            EXTENSION => Self::Extension(reader.text("extension")?, reader.rest()),
            number => Self::Unknown(number),
        })
    }
}

impl Request<'_> {
    /// For a request that changes what an agent holds or whether it is locked, that asks for its state, or
    /// that has it prove a key: the name of the request in the audit log. `None` for those that list and sign,
    /// and for extensions whose meaning is not known here.
    #[must_use]
    pub fn manages(&self) -> Option<&'static str> {
        match self {
            Self::AddSoftwareKey | Self::AddCard(..) => Some("add"),
            Self::Remove(_) | Self::RemoveAll | Self::RemoveCard(_) => Some("remove"),
            Self::Lock(_) | Self::Extension(super::LOCK, _) => Some("lock"),
            Self::Unlock(_) | Self::Extension(super::UNLOCK, _) => Some("unlock"),
            Self::Extension(super::STATUS, _) => Some("status"),
            Self::Extension(super::ATTEST, _) => Some("attest"),
            Self::List | Self::Sign { .. } | Self::Extension(..) | Self::Unknown(_) => None,
        }
    }
}

fn card<'a>(reader: &mut Reader<'a>) -> Result<Card<'a>, Malformed> {
    Ok(Card {
        name: reader.text("token")?,
        pin: reader.string()?,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use testing::assert_matches;

    use super::*;
    use crate::protocol::put_string;

    fn sign_request() -> Vec<u8> {
        let mut message = vec![SIGN_REQUEST];
        put_string(&mut message, b"key");
        put_string(&mut message, b"data");
        message.extend(4_u32.to_be_bytes());
        message
    }

    #[test]
    fn a_sign_request_is_read() {
        let message = sign_request();
        let Ok(Request::Sign { key, data, flags }) = Request::decode(&message) else {
            panic!()
        };
        assert_eq!((key, data, flags), (&b"key"[..], &b"data"[..], 4));
    }

    #[test]
    fn a_sign_request_that_is_cut_anywhere_is_malformed() {
        let whole = sign_request();
        for len in 0..whole.len() {
            assert!(Request::decode(&whole[..len]).is_err(), "{len}");
        }
    }

    /// SSH 1 and numbers without a meaning are no errors of form.
    #[test]
    fn an_unknown_type_is_a_request_of_its_own() {
        for number in [0, 1, 3, 5, 7, 8, 9, 12, 14, 24, 99, 255] {
            let message = [number];
            let request = Request::decode(&message).unwrap();
            assert_matches!(request, Request::Unknown(n) if n == number);
        }
    }

    #[test]
    fn bytes_after_a_list_request_are_ignored() {
        assert_matches!(Request::decode(b"\x0babc"), Ok(Request::List));
    }

    #[test]
    fn a_pin_is_not_printed() {
        let mut message = vec![ADD_SMARTCARD_KEY];
        put_string(&mut message, b"tpmssh");
        put_string(&mut message, b"sesame");
        let request = Request::decode(&message).unwrap();
        assert!(!format!("{request:?}").contains("sesame"));
        assert!(!format!("{request:?}").contains("115"));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(message: Vec<u8>) {
            let _ = Request::decode(&message);
        }

        #[test]
        fn any_body_of_any_known_type_is_read_or_refused(kind in 11_u8..28, body: Vec<u8>) {
            let _ = Request::decode(&[&[kind], &body[..]].concat());
        }
    }
}
