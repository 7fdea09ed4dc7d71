//! The public data of a token.

use std::{fmt, str::FromStr};

use tpm_core::{Capabilities, KeyType, Name};

use super::parts::Parts;
use crate::{Error, Result};

/// The lowest limit of wrong PINs that a token can have.
pub const MIN_TRIES: u32 = 1;
/// The highest limit of wrong PINs that a token can have.
pub const MAX_TRIES: u32 = 100;

/// A token's number in its store. It is not used again after the token is deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TokenId(pub(crate) i64);

impl TokenId {
    /// The number.
    #[must_use]
    pub fn get(self) -> i64 {
        self.0
    }
}

/// How a token is protected from a person without its PIN.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WallKind {
    /// A counter in the chip for this token (an NV index of type `PIN_FAIL`). Too many wrong PINs
    /// lock only this token. After a change of the PIN, the old PIN is useless even with an old
    /// copy of the store.
    Counter,
    /// The dictionary-attack lockout of the whole chip, which all objects share and which also
    /// counts power failures. With an old copy of the store, the old PIN still works.
    Lockout,
    /// No PIN: anybody with the store and access to the chip can sign.
    None,
}

impl WallKind {
    /// Its name on the command line and in the store.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Lockout => "lockout",
            Self::None => "none",
        }
    }
}

impl fmt::Display for WallKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for WallKind {
    type Err = Error;

    fn from_str(word: &str) -> Result<Self> {
        [Self::Counter, Self::Lockout, Self::None]
            .into_iter()
            .find(|wall| wall.as_str() == word)
            .ok_or(Error::Invalid {
                what: "PIN wall",
                why: "it is counter, lockout or none",
            })
    }
}

/// The number of tries of a PIN.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tries {
    /// How many tries are left; at 0 the PIN is locked.
    pub left: u32,
    /// How many there are after a right PIN.
    pub max: u32,
}

/// A token as it is in the store. It has no secret, and reading it sends no command to the TPM.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Token {
    /// Its number in this store.
    pub id: TokenId,
    /// 16 hexadecimal digits, random, the same for the life of the token.
    pub serial: String,
    /// Its name; 1 to [`MAX_LABEL_LEN`](super::MAX_LABEL_LEN) bytes.
    pub label: String,
    /// When it was made, in seconds since 1970.
    pub created: u64,
    /// Its PIN wall.
    pub wall: WallKind,
    /// Whether there is a user PIN. If not, the token needs none ([`WallKind::None`]), or the SO
    /// has still to set it.
    pub pin_is_set: bool,
    /// Whether it has an SO PIN.
    pub so_pin_is_set: bool,
    /// The tries left for the user PIN when they were last read; [`refresh_tries`](super::refresh_tries) reads them
    /// again.
    pub tries: Option<Tries>,
    /// The tries left for the SO PIN when they were last read. They are those of the chip's
    /// lockout, and their number grows with time.
    pub so_tries: Option<Tries>,
    /// Its PIN counter's NV handle.
    pub nv_handle: Option<u32>,
    /// The limit of its PIN counter.
    pub max_tries: Option<u32>,
    /// The types of key that its chip makes, read when the token was made.
    pub key_types: Vec<KeyType>,
    /// The capabilities of its chip, read when the token was made; `None` in a store of an older
    /// version, until a key is made.
    pub chip: Option<Capabilities>,
    /// Whether it has a key.
    pub has_keys: bool,
    /// A number that grows when logins must end: see [`OpenToken::is_current`](crate::OpenToken::is_current).
    pub(crate) pin_generation: i64,
    /// Its objects in the TPM.
    pub(crate) parts: Parts,
}

impl Token {
    /// Whether a PIN is needed to use the keys.
    #[must_use]
    pub fn login_required(&self) -> bool {
        self.wall != WallKind::None
    }

    /// The Name of the storage root key that the token is below. It identifies the TPM.
    #[must_use]
    pub fn srk_name(&self) -> &Name {
        self.parts.srk.name()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wall_is_read_as_it_is_written() {
        for wall in [WallKind::Counter, WallKind::Lockout, WallKind::None] {
            assert_eq!(wall.to_string().parse::<WallKind>().unwrap(), wall);
        }
        let err = "moat".parse::<WallKind>().expect_err("a moat was taken");
        assert_eq!(
            err.to_string(),
            "unusable PIN wall: it is counter, lockout or none"
        );
    }
}
