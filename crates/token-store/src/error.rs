//! The errors of tokens and of the store, and their kinds.

mod change;
mod kind;
mod words;

use std::{io, path::PathBuf};

use crate::{PinError, Role, token::NoCounter};

use self::words::{if_imported, named, tries, wait};
pub use self::{change::Change, kind::Kind};

/// A result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A failure, named by what the caller can do next.
///
/// [`Error::kind`] sorts them into the kinds that exit codes and PKCS#11 return values express.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The PIN was wrong, and the chip counted it.
    #[error("wrong {role}{}", tries(*.left))]
    WrongPin {
        /// Whose PIN it was.
        role: Role,
        /// How many tries are left, if that is known.
        left: Option<u32>,
    },
    /// The PIN was wrong, and it was the last try before the lockout of the whole chip. Now only
    /// waiting, or a reset with the lockout password, helps.
    #[error("wrong {role}, and no more tries left{}", wait(*.recovery))]
    LastTry {
        /// Whose PIN it was.
        role: Role,
        /// The most seconds until the chip takes one more try, if that is known.
        recovery: Option<u32>,
    },
    /// The user PIN was wrong too often. Only the recovery code (SO PIN) unlocks it.
    #[error("the PIN is locked after too many wrong ones")]
    PinLocked,
    /// The whole chip is in dictionary-attack lockout. Waiting, or a reset with the lockout
    /// password, ends it.
    #[error("the TPM is in dictionary-attack lockout{}", wait(*.recovery))]
    ChipLocked {
        /// The most seconds until the chip takes one more try, if that is known.
        recovery: Option<u32>,
    },
    /// The PIN is malformed, so no try was spent on it.
    #[error("unusable PIN")]
    PinMalformed(#[from] PinError),
    /// The token has a PIN and none was given.
    #[error("this token needs a PIN")]
    PinRequired,
    /// The user PIN was never set: the SO has to set it.
    #[error("the user PIN of this token has not been set")]
    PinNotSet,
    /// The token was made without an SO PIN, so nobody can act as its SO.
    #[error("this token has no SO PIN")]
    NoSo,
    /// The token was made without a PIN, so there is none to change.
    #[error("this token has no PIN")]
    NoPin,
    /// The login has ended, because another program changed the PIN.
    #[error("the PIN was changed by another program; log in again")]
    LoggedOut,

    /// The token belongs to another TPM, or this one has been cleared.
    #[error("the token belongs to another TPM, or this TPM has been cleared")]
    OtherTpm,
    /// The token's storage root key is not one that root has recorded for this machine.
    #[error(
        "the TPM, or the store, is not that of this machine: root has recorded another storage root key in {}",
        crate::SRK_RECORD
    )]
    UnrecordedSrk,
    /// The token's PIN counter is gone from the TPM, or another one is in its place.
    #[error("the PIN counter of this token is gone from the TPM")]
    CounterMissing,
    /// The PIN counter in the TPM has another limit than the token in the store: one of them was
    /// changed.
    #[error("the TPM locks this token after {found} wrong PINs, and not after {wanted}")]
    WrongLimit {
        /// The limit in the TPM.
        found: u32,
        /// The limit of the token.
        wanted: u32,
    },
    /// The token cannot have a PIN counter, and the caller did not ask for a weaker PIN wall.
    #[error("no PIN counter can be made: {0}")]
    NoCounterWall(NoCounter),
    /// The token was made anew, but its old PIN counter could not be removed from the TPM.
    #[error(
        "the token is new, but its old PIN counter (NV index {handle:#010x}) is still in the TPM"
    )]
    OldCounterLeft {
        /// The NV handle of the old counter.
        handle: u32,
        /// Why it could not be removed.
        source: Box<Error>,
    },
    /// The key differs from those that this program makes, and is not used.
    #[error("key refused: {reason}")]
    KeyRefused {
        /// The reason.
        reason: String,
    },

    /// The key is an authority's; its record of what it signed would be lost with it.
    #[error("the key is a certificate authority and is deleted with `tpmssh delete` only")]
    AuthorityKey,

    /// The token has this key already.
    #[error(
        "token \"{}\" has this key: \"{}\"{}",
        token.escape_debug(),
        label.escape_debug(),
        if_imported(*.imported)
    )]
    KeyExists {
        /// The label of the token.
        token: String,
        /// The label of the key.
        label: String,
        /// Whether it was made outside of the TPM.
        imported: bool,
    },

    /// There is no store yet.
    #[error("there is no store at {}", path.display())]
    NoStore {
        /// The path at which it was expected.
        path: PathBuf,
    },
    /// No place for the store or the configuration can be derived from the environment.
    #[error("no home directory is known for this user")]
    NoHome,
    /// The store is damaged or was tampered with.
    #[error("the store is corrupt: {}{what}", named(token.as_deref()))]
    Corrupt {
        /// The label of the token that it is about, if it is about one.
        token: Option<String>,
        /// The damage.
        what: String,
    },
    /// The store was written by a newer version of this program.
    #[error("the store is of a newer version ({found}) than this program knows ({known})")]
    NewerStore {
        /// The version found.
        found: i64,
        /// The version this program writes.
        known: i64,
    },
    /// The store was written by an older version of this program, and cannot be written now.
    #[error("the store is of an older version ({found}) and read-only")]
    OlderStore {
        /// The version found.
        found: i64,
    },
    /// The store's file was replaced by another one while it was in use: open it again.
    #[error("the store was replaced while it was in use")]
    Replaced,
    /// A path has an owner, mode or type that others could abuse; nothing was opened.
    #[error("unsafe path {}: {why}", path.display())]
    UnsafePath {
        /// The path.
        path: PathBuf,
        /// The fault, and then the right value.
        why: String,
    },
    /// Another program holds the store.
    #[error("the store is in use by another program")]
    Busy,
    /// The file system of the store refuses locks.
    #[error("the file system of the store has no working locks")]
    NoLocks,
    /// Another program changed the same token in the meantime: read it again, then retry.
    #[error("the token was changed by another program meanwhile")]
    Conflict,
    /// The store cannot be written.
    #[error("the store is read-only")]
    ReadOnly,
    /// The disk is full or failing.
    #[error("cannot read or write the store")]
    Disk(#[source] io::Error),
    /// The record of the storage root key cannot be read or written.
    #[error("cannot read or write {}", crate::SRK_RECORD)]
    Record(#[source] io::Error),
    /// The TPM made a change, and recording it in the store failed.
    #[error("{}", change.unrecorded())]
    Unrecorded {
        /// The change.
        change: Change,
        /// Why recording it failed.
        source: Box<Error>,
    },
    /// The TPM was asked to make a change, and its answer is missing or not authentic.
    #[error("it is not known whether {}", change.done())]
    Unknown {
        /// The change.
        change: Change,
        /// The fault of the answer.
        source: Box<Error>,
    },
    /// There is not enough memory to derive a key from the PIN.
    #[error("not enough memory")]
    OutOfMemory,

    /// No token has this label or serial number.
    #[error("no token \"{0}\"", name.escape_debug())]
    NoSuchToken {
        /// The label or serial number that was looked for.
        name: String,
    },
    /// Several tokens have this label; the serial number tells them apart.
    #[error("several tokens are called \"{}\"", name.escape_debug())]
    AmbiguousToken {
        /// The label.
        name: String,
    },
    /// No attestation key was made for this TPM: a request comes before the answer to a challenge.
    #[error("no request for a proof was made from this store")]
    NoAttestationKey,
    /// The object does not exist, or no longer.
    #[error("no such object")]
    NoSuchObject,
    /// The owner of the key does not let it do this.
    #[error("the key {0}")]
    KeyUse(&'static str),
    /// A label, id or value is too long to be stored.
    #[error("the {what} is longer than {max} bytes")]
    TooLong {
        /// The name of the value that is too long.
        what: &'static str,
        /// The limit, in bytes.
        max: usize,
    },
    /// The limit of their number is reached.
    #[error("there are {max} {what}, and there cannot be more")]
    TooMany {
        /// The things that there are too many of.
        what: &'static str,
        /// How many there can be.
        max: usize,
    },
    /// A label or value cannot be stored.
    #[error("unusable {what}: {why}")]
    Invalid {
        /// The name of the given value.
        what: &'static str,
        /// The reason.
        why: &'static str,
    },
    /// The number of tries is out of range.
    #[error("a token takes from {min} to {max} tries", min = crate::MIN_TRIES, max = crate::MAX_TRIES)]
    BadTries,

    /// The configuration file is unusable.
    #[error("cannot use {}: {why}", path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// The reason.
        why: String,
    },
    /// No TPM is configured and there is no `/dev/tpmrm*`.
    #[error("no TPM found: no device matches /dev/tpmrm*, and no other TPM is configured")]
    NoTpmConfigured,
    /// Another failure of the TPM.
    #[error(transparent)]
    Tpm(tpm_core::Error),
}

impl Error {
    /// The kind of this error.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::WrongPin { .. }
            | Self::LastTry { .. }
            | Self::PinMalformed(_)
            | Self::PinRequired
            | Self::LoggedOut => Kind::WrongPin,
            Self::PinLocked | Self::ChipLocked { .. } => Kind::PinLocked,
            Self::OtherTpm | Self::UnrecordedSrk | Self::CounterMissing => Kind::OtherTpm,
            Self::KeyRefused { .. } => Kind::KeyRefused,
            Self::Corrupt { .. } | Self::WrongLimit { .. } | Self::NewerStore { .. } => {
                Kind::Corrupt
            }
            Self::NoCounterWall(NoCounter::OwnerAuth) => Kind::WrongPin,
            Self::OldCounterLeft { source, .. } => source.kind(),
            Self::UnsafePath { .. } => Kind::UnsafePath,
            // Neither file is damaged, and the next run uses the one that is there.
            Self::Busy | Self::Conflict | Self::Replaced => Kind::Busy,
            Self::Disk(_)
            | Self::Record(_)
            | Self::ReadOnly
            | Self::NoLocks
            | Self::OlderStore { .. } => Kind::Disk,
            Self::TooLong { .. }
            | Self::TooMany { .. }
            | Self::Invalid { .. }
            | Self::BadTries
            | Self::AmbiguousToken { .. }
            | Self::Config { .. } => Kind::Usage,
            Self::NoTpmConfigured => Kind::NoTpm,
            Self::PinNotSet
            | Self::NoCounterWall(_)
            | Self::NoSo
            | Self::NoPin
            | Self::NoHome
            | Self::OutOfMemory
            | Self::AuthorityKey
            | Self::KeyExists { .. }
            | Self::KeyUse(_)
            | Self::NoAttestationKey => Kind::Failed,
            Self::NoStore { .. } | Self::NoSuchToken { .. } | Self::NoSuchObject => Kind::NotThere,
            Self::Unrecorded { source, .. } | Self::Unknown { source, .. } => source.kind(),
            Self::Tpm(err) => tpm_kind(err),
        }
    }

    /// The same error; if the store is corrupt, with the name of the token.
    pub(crate) fn of_token(self, name: &str) -> Self {
        match self {
            Self::Corrupt { token: None, what } => Self::Corrupt {
                token: Some(name.to_owned()),
                what,
            },
            err => err,
        }
    }

    /// [`Error::Corrupt`] without a token.
    pub(crate) fn corrupt(what: impl Into<String>) -> Self {
        Self::Corrupt {
            token: None,
            what: what.into(),
        }
    }
}

/// The kind of an error of the TPM.
#[must_use]
fn tpm_kind(err: &tpm_core::Error) -> Kind {
    use tpm_core::Error as Tpm;
    match err {
        Tpm::NoTpm { .. }
        | Tpm::PermissionDenied { .. }
        | Tpm::Timeout { .. }
        | Tpm::Connection(_)
        | Tpm::FailureMode
        | Tpm::NotStarted
        | Tpm::NeedsRestart(_)
        | Tpm::HierarchyDisabled(_)
        | Tpm::Malformed(_)
        | Tpm::Tpm12
        | Tpm::NoSrk => Kind::NoTpm,
        Tpm::Tcti { .. } | Tpm::AuthTooLong | Tpm::DigestLength(_) => Kind::Usage,
        Tpm::Busy | Tpm::Full | Tpm::NotReady(_) => Kind::Busy,
        Tpm::AuthRejected { .. } => Kind::WrongPin,
        Tpm::PinExhausted | Tpm::Lockout => Kind::PinLocked,
        Tpm::OtherTpm
        | Tpm::OtherChallenge
        | Tpm::ReplyForged { .. }
        | Tpm::Unproven
        | Tpm::WrongLimit
        | Tpm::NvMissing(_) => Kind::OtherTpm,
        Tpm::Integrity(_) => Kind::Corrupt,
        Tpm::KeyRefused(_) | Tpm::Unsound(_) => Kind::KeyRefused,
        _ => Kind::Failed,
    }
}

impl From<tpm_core::Error> for Error {
    fn from(err: tpm_core::Error) -> Self {
        use tpm_core::Error as Tpm;
        match err {
            Tpm::OtherTpm => Self::OtherTpm,
            Tpm::KeyRefused(reason) => Self::KeyRefused {
                reason: reason.to_string(),
            },
            Tpm::Lockout => Self::ChipLocked { recovery: None },
            Tpm::Integrity(what) => {
                Self::corrupt(format!("the {what} was changed or is of another token"))
            }
            err => Self::Tpm(err),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tries_are_told_in_words() {
        let text = |left| {
            Error::WrongPin {
                role: Role::User,
                left,
            }
            .to_string()
        };
        assert_eq!(text(None), "wrong PIN");
        assert_eq!(text(Some(0)), "wrong PIN, and no more tries left");
        assert_eq!(text(Some(1)), "wrong PIN, 1 try left");
        assert_eq!(text(Some(2)), "wrong PIN, 2 tries left");
        let last = Error::LastTry {
            role: Role::User,
            recovery: Some(7200),
        };
        assert_eq!(
            last.to_string(),
            "wrong PIN, and no more tries left; the next try is possible in at most 120 minutes"
        );
        assert_eq!(last.kind().exit_code(), 3);
    }

    #[test]
    fn exit_codes_are_those_of_the_manual() {
        let code = |err: Error| err.kind().exit_code();
        assert_eq!(
            code(Error::WrongPin {
                role: Role::So,
                left: None
            }),
            3
        );
        assert_eq!(code(Error::PinLocked), 4);
        assert_eq!(code(Error::NoTpmConfigured), 5);
        assert_eq!(code(Error::from(tpm_core::Error::OtherTpm)), 6);
        assert_eq!(
            code(Error::from(tpm_core::Error::Integrity(
                tpm_core::Entity::Key
            ))),
            7
        );
        assert_eq!(
            code(Error::KeyRefused {
                reason: String::new()
            }),
            8
        );
        assert_eq!(
            code(Error::UnsafePath {
                path: "/".into(),
                why: String::new()
            }),
            9
        );
        assert_eq!(code(Error::Busy), 10);
        let name = String::from("work");
        assert_eq!(code(Error::NoSuchToken { name }), 12);
        assert_eq!(code(Error::ReadOnly), 11);
    }

    #[test]
    fn what_a_user_typed_cannot_upset_the_terminal() {
        let err = Error::NoSuchToken {
            name: "a\x1b[2J".into(),
        };
        assert_eq!(err.to_string(), "no token \"a\\u{1b}[2J\"");
    }
}
