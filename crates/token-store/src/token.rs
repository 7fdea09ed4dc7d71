//! Tokens: what is known of one without its PIN, and its life from making to deleting.

use std::{fmt, str::FromStr};

use tpm_core::{Capabilities, KeyType, Name};

use crate::{Error, Result, Store};

mod check;
mod delete;
mod health;
mod init;
mod intent;
mod open_token;
mod orphan;
mod parts;
mod pin_change;
mod reinit;
mod row;
mod so_token;

pub use delete::{delete, forget};
pub use health::{Health, examine};
pub use init::{InitOptions, Initialized, NoCounter, init};
pub use open_token::OpenToken;
pub use orphan::{Orphan, orphans, remove_orphan};
pub(crate) use parts::Parts;
pub use pin_change::{change_pin, refresh_tries};
pub use reinit::{Renewal, reinit, renew};
pub(crate) use row::{
    NewToken, by_id, end_logins, keep_secret, now, replace_private, set_pin_is_set,
};
pub use so_token::SoToken;

/// The fewest wrong PINs that a token may be made to take before it locks.
pub const MIN_TRIES: u32 = 1;
/// The most wrong PINs that a token may be made to take before it locks.
pub const MAX_TRIES: u32 = 100;
/// The wrong PINs that a token takes before it locks, unless it is asked for another number.
pub const DEFAULT_TRIES: u32 = 3;
/// The longest label of a token, in bytes: what PKCS#11 has room for.
pub const MAX_LABEL_LEN: usize = 32;

/// A token's number in its store; never used again after the token is deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TokenId(pub(crate) i64);

impl TokenId {
    /// The number.
    #[must_use]
    pub fn get(self) -> i64 {
        self.0
    }
}

/// What stands between a token and somebody who does not know its PIN.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum WallKind {
    /// A counter of the token's own in the chip (an NV index of type `PIN_FAIL`): wrong PINs
    /// lock this token and nothing else, and a changed PIN is dead even with an old copy of
    /// the store.
    Counter,
    /// The chip's own dictionary-attack lockout, which all such objects share, which unclean
    /// power-offs count towards, and to which an old copy of the store answers with its old
    /// PIN.
    Lockout,
    /// No PIN: whoever has the store and the chip can sign.
    None,
}

impl WallKind {
    /// The word for it on the command line and in the store.
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

/// How many wrong PINs are possible.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tries {
    /// How many more wrong PINs are taken now; at 0 the PIN is locked.
    pub left: u32,
    /// How many are taken in a row when nothing was tried yet.
    pub max: u32,
}

/// A token, as the store knows it: nothing secret, and no command to the TPM.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Token {
    /// Its number in this store.
    pub id: TokenId,
    /// 16 hexadecimal digits, chosen at random when it was made and kept ever since.
    pub serial: String,
    /// What its owner calls it; 1 to [`MAX_LABEL_LEN`] bytes.
    pub label: String,
    /// When it was made, in seconds since 1970.
    pub created: u64,
    /// What guards its keys.
    pub wall: WallKind,
    /// Whether there is a user PIN. Without one a token waits for its SO to set it, or has
    /// [`WallKind::None`] and needs none.
    pub pin_is_set: bool,
    /// Whether there is an SO who knows a PIN.
    pub so_pin_is_set: bool,
    /// The tries left for the user PIN when this was last seen; [`refresh_tries`] looks again.
    pub tries: Option<Tries>,
    /// The tries left for the SO PIN when this was last seen: the chip's own count, which
    /// time lowers.
    pub so_tries: Option<Tries>,
    /// Its PIN counter's NV handle.
    pub nv_handle: Option<u32>,
    /// How many wrong PINs its PIN counter takes in a row.
    pub max_tries: Option<u32>,
    /// The kinds of key that its chip makes, as it said when the token was made.
    pub key_types: Vec<KeyType>,
    /// What its chip can do, as it said then; `None` in a store of an older version, until a
    /// key is made.
    pub chip: Option<Capabilities>,
    /// Whether there is a key in it.
    pub has_keys: bool,
    /// How often its PIN was set: see [`OpenToken::is_current`].
    pub(crate) pin_generation: i64,
    /// What only the TPM makes sense of.
    pub(crate) parts: Parts,
}

impl Token {
    /// Whether a PIN is needed to use the keys.
    #[must_use]
    pub fn login_required(&self) -> bool {
        self.wall != WallKind::None
    }

    /// The Name of the storage root key that the token hangs from, which identifies its TPM.
    #[must_use]
    pub fn srk_name(&self) -> &Name {
        self.parts.srk.name()
    }
}

/// Gives a token another label.
///
/// # Errors
///
/// Those of [`check_label`], [`Error::NoSuchToken`], and those of the store.
pub fn rename(store: &mut Store, token: &Token, label: &str) -> Result<()> {
    store.set_token_label(token.id, label)
}

/// A label that a token can have.
///
/// # Errors
///
/// [`Error::TooLong`] above [`MAX_LABEL_LEN`] bytes, [`Error::Invalid`] if it is empty or has
/// control characters, which a list of tokens on a terminal could not show.
pub fn check_label(label: &str) -> Result<()> {
    if label.len() > MAX_LABEL_LEN {
        return Err(Error::TooLong {
            what: "token label",
            max: MAX_LABEL_LEN,
        });
    }
    if label.trim().is_empty() {
        return Err(Error::Invalid {
            what: "token label",
            why: "it is empty",
        });
    }
    if label.chars().any(char::is_control) {
        return Err(Error::Invalid {
            what: "token label",
            why: "it has control characters",
        });
    }
    Ok(())
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

    #[test]
    fn a_label_has_1_to_32_bytes_that_can_be_shown() {
        assert!(check_label("work").is_ok());
        assert!(check_label(&"ü".repeat(16)).is_ok());
        let refusal = |label: &str| check_label(label).expect_err("a bad label was taken");
        assert_eq!(
            refusal(&"ü".repeat(17)).to_string(),
            "the token label is longer than 32 bytes"
        );
        assert_eq!(
            refusal("  ").to_string(),
            "unusable token label: it is empty"
        );
        assert_eq!(
            refusal("a\x1b[2J").to_string(),
            "unusable token label: it has control characters"
        );
    }
}
