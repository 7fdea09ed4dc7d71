//! Tokens: their public data, and their life from making to deleting.
//!
//! The types that all callers need are at the root of the crate: [`Token`],
//! [`OpenToken`](crate::OpenToken), [`SoToken`](crate::SoToken) and their parts.

use crate::{Error, Result, Store};

mod check;
pub(crate) mod data;
mod delete;
mod health;
mod import;
mod init;
mod intent;
pub(crate) mod open_token;
mod orphan;
mod parts;
mod pin_change;
mod reinit;
mod row;
pub(crate) mod so_token;

pub use delete::{delete, forget};
pub use health::{Health, examine};
pub use init::{InitOptions, Initialized, NoCounter, init};
pub use orphan::{Orphan, orphans, remove_orphan};
pub(crate) use parts::{Parts, TokenObjects};
pub use pin_change::{change_pin, refresh_tries};
pub use reinit::{Renewal, reinit, renew};
pub(crate) use row::{
    NewToken, by_id, end_logins, keep_secret, now, replace_private, set_pin_is_set,
};

use data::{MAX_TRIES, MIN_TRIES, Token, TokenId, Tries, WallKind};

/// The default limit of wrong PINs.
pub const DEFAULT_TRIES: u32 = 3;
/// The longest label of a token in PKCS#11, in bytes.
pub const MAX_LABEL_LEN: usize = 32;

/// Gives a token another label.
///
/// # Errors
///
/// Those of [`check_label`], [`Error::NoSuchToken`], and those of the store.
pub fn rename(store: &mut Store, token: &Token, label: &str) -> Result<()> {
    store.set_token_label(token.id, label)
}

/// Refuses a label that a token cannot have.
///
/// # Errors
///
/// [`Error::TooLong`] above [`MAX_LABEL_LEN`] bytes; [`Error::Invalid`] if it is empty or has
/// control characters, which a terminal would interpret.
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
