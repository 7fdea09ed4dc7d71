//! What can go wrong with a TPM, and the only reader of its response codes.

use std::{fmt, io, path::PathBuf};

/// A result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A failed use of the TPM, named by what the caller can do next.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is no TPM where one was looked for.
    #[error("no TPM at {tcti}")]
    NoTpm {
        /// The connection that was tried.
        tcti: String,
        /// Why it failed.
        source: io::Error,
    },
    /// The TPM's device node may not be opened by this user.
    #[error("permission denied on {}", path.display())]
    PermissionDenied {
        /// The device node.
        path: PathBuf,
    },
    /// The connection string is not one that is supported.
    #[error("unusable TPM connection \"{given}\": {why}")]
    Tcti {
        /// What was given, cut short and without control characters.
        given: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The TPM did not answer before the deadline.
    #[error("the TPM did not answer within {seconds} s")]
    Timeout {
        /// The deadline.
        seconds: u64,
    },
    /// Another program held the TPM until the deadline.
    #[error("the TPM is in use by another program")]
    Busy,
    /// The connection broke in the middle of an exchange.
    #[error("the connection to the TPM broke")]
    Connection(#[source] io::Error),
    /// What the TPM, or a caller, sent cannot be what it claims to be.
    #[error("malformed {0}")]
    Malformed(&'static str),
    /// The reply was not authenticated by the session it came in.
    #[error("the reply to {command} was not authenticated by the TPM")]
    ReplyForged {
        /// The command, as the specification spells it.
        command: &'static str,
    },
    /// The chip speaks the language of TPM 1.2, which this crate does not.
    #[error("this is a TPM 1.2, and not a TPM 2.0")]
    Tpm12,
    /// The TPM has failed its self test and answers nothing else.
    #[error("the TPM is in failure mode")]
    FailureMode,
    /// The TPM was not started by its platform.
    #[error("the TPM has not been started")]
    NotStarted,
    /// The authorization value was wrong.
    #[error("wrong authorization for the {object}")]
    AuthRejected {
        /// Whose authorization it was, e.g. `owner hierarchy`.
        object: &'static str,
        /// Whether the chip counted the attempt towards its dictionary-attack lockout.
        counted: bool,
    },
    /// The PIN counter has reached its limit: right and wrong PINs are refused alike.
    #[error("the PIN counter is exhausted")]
    PinExhausted,
    /// The chip is in dictionary-attack lockout.
    #[error("the TPM is in dictionary-attack lockout")]
    Lockout,
    /// The storage root key is not the one that was pinned.
    #[error("this is another TPM, or it has been cleared")]
    OtherTpm,
    /// There is no storage root key and it could not be made.
    #[error("the TPM has no storage root key")]
    NoSrk,
    /// A stored blob is not of this TPM, or was tampered with.
    #[error("the {0} does not belong to this TPM or was changed")]
    Integrity(&'static str),
    /// The policy of an object does not allow what was asked.
    #[error("the policy of the {0} does not allow this")]
    Policy(&'static str),
    /// The key is not one that this crate creates and will not be used.
    #[error("key refused: {0}")]
    KeyRefused(&'static str),
    /// The chip has no room for another NV index.
    #[error("the TPM has no room for another NV index")]
    NvSpace,
    /// The NV index exists already.
    #[error("NV index {0:#010x} exists already")]
    NvDefined(u32),
    /// The NV index does not exist.
    #[error("NV index {0:#010x} does not exist")]
    NvMissing(u32),
    /// The persistent handle is occupied.
    #[error("persistent handle {0:#010x} is occupied")]
    HandleOccupied(u32),
    /// The chip cannot do this.
    #[error("this TPM does not support {0}")]
    NotSupported(&'static str),
    /// The hierarchy is switched off.
    #[error("the {0} hierarchy is disabled")]
    HierarchyDisabled(&'static str),
    /// The command is switched off in this chip (e.g. `TPM2_Clear`).
    #[error("{0} is disabled in this TPM")]
    Disabled(&'static str),
    /// All object or session slots are taken by others.
    #[error("the TPM has no free slot for another object or session")]
    Full,
    /// A saved or loaded key is no longer known to the chip: load it again.
    #[error("the loaded key is gone from the TPM")]
    Stale,
    /// An authorization value is longer than a TPM takes.
    #[error("an authorization value is longer than 32 bytes")]
    AuthTooLong,
    /// The digest has a length that the scheme does not take.
    #[error("a digest of {0} bytes cannot be signed with this scheme")]
    DigestLength(usize),
    /// The chip returned a signature that its public key does not verify.
    #[error("the TPM returned a wrong signature")]
    WrongSignature,
    /// A command failed in a way that has no name of its own here.
    #[error("{command} failed: {rc}")]
    Command {
        /// The command, as the specification spells it.
        command: &'static str,
        /// The response code.
        rc: ResponseCode,
    },
}

/// A TPM response code, 32 bits.
///
/// # Source
///
/// Part 2, section 6.6 "TPM_RC".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResponseCode(pub u32);

impl ResponseCode {
    /// The code without the number of the handle, parameter or session that it is about.
    ///
    /// Format-one codes (bit 7) carry that number in bits 6 and 8 to 11. Codes of another
    /// layer (a resource manager) are returned whole.
    #[must_use]
    pub fn base(self) -> u32 {
        if self.0 & 0xffff_f000 == 0 && self.0 & 0x80 != 0 {
            self.0 & 0xbf
        } else {
            self.0
        }
    }

    /// The specification's name, where this crate knows it.
    #[must_use]
    pub fn name(self) -> Option<&'static str> {
        Some(match self.base() {
            rc::INITIALIZE => "TPM_RC_INITIALIZE",
            rc::FAILURE => "TPM_RC_FAILURE",
            rc::DISABLED => "TPM_RC_DISABLED",
            rc::AUTH_UNAVAILABLE => "TPM_RC_AUTH_UNAVAILABLE",
            rc::COMMAND_CODE => "TPM_RC_COMMAND_CODE",
            rc::NV_SPACE => "TPM_RC_NV_SPACE",
            rc::NV_DEFINED => "TPM_RC_NV_DEFINED",
            rc::ATTRIBUTES => "TPM_RC_ATTRIBUTES",
            rc::HASH => "TPM_RC_HASH",
            rc::VALUE => "TPM_RC_VALUE",
            rc::HIERARCHY => "TPM_RC_HIERARCHY",
            rc::KEY_SIZE => "TPM_RC_KEY_SIZE",
            rc::TYPE => "TPM_RC_TYPE",
            rc::HANDLE => "TPM_RC_HANDLE",
            rc::AUTH_FAIL => "TPM_RC_AUTH_FAIL",
            rc::BAD_AUTH => "TPM_RC_BAD_AUTH",
            rc::SCHEME => "TPM_RC_SCHEME",
            rc::SIZE => "TPM_RC_SIZE",
            rc::POLICY_FAIL => "TPM_RC_POLICY_FAIL",
            rc::INTEGRITY => "TPM_RC_INTEGRITY",
            rc::CURVE => "TPM_RC_CURVE",
            rc::LOCKOUT => "TPM_RC_LOCKOUT",
            rc::RETRY => "TPM_RC_RETRY",
            rc::NV_RATE => "TPM_RC_NV_RATE",
            rc::TESTING => "TPM_RC_TESTING",
            rc::YIELDED => "TPM_RC_YIELDED",
            rc::OBJECT_MEMORY => "TPM_RC_OBJECT_MEMORY",
            rc::SESSION_MEMORY => "TPM_RC_SESSION_MEMORY",
            rc::SESSION_HANDLES => "TPM_RC_SESSION_HANDLES",
            rc::REFERENCE_H0 => "TPM_RC_REFERENCE_H0",
            _ => return None,
        })
    }
}

impl fmt::Display for ResponseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => write!(f, "{name} ({:#05x})", self.0),
            None => write!(f, "response code {:#05x}", self.0),
        }
    }
}

/// The response codes that are told apart, as [`ResponseCode::base`] gives them.
pub(crate) mod rc {
    pub(crate) const INITIALIZE: u32 = 0x100;
    pub(crate) const FAILURE: u32 = 0x101;
    pub(crate) const DISABLED: u32 = 0x120;
    pub(crate) const AUTH_UNAVAILABLE: u32 = 0x12f;
    pub(crate) const COMMAND_CODE: u32 = 0x143;
    pub(crate) const NV_SPACE: u32 = 0x14b;
    pub(crate) const NV_DEFINED: u32 = 0x14c;
    pub(crate) const ATTRIBUTES: u32 = 0x082;
    pub(crate) const HASH: u32 = 0x083;
    pub(crate) const VALUE: u32 = 0x084;
    pub(crate) const HIERARCHY: u32 = 0x085;
    pub(crate) const KEY_SIZE: u32 = 0x087;
    pub(crate) const TYPE: u32 = 0x08a;
    pub(crate) const HANDLE: u32 = 0x08b;
    pub(crate) const AUTH_FAIL: u32 = 0x08e;
    pub(crate) const SCHEME: u32 = 0x092;
    pub(crate) const SIZE: u32 = 0x095;
    pub(crate) const POLICY_FAIL: u32 = 0x09d;
    pub(crate) const INTEGRITY: u32 = 0x09f;
    pub(crate) const BAD_AUTH: u32 = 0x0a2;
    pub(crate) const CURVE: u32 = 0x0a6;
    pub(crate) const OBJECT_MEMORY: u32 = 0x902;
    pub(crate) const SESSION_MEMORY: u32 = 0x903;
    pub(crate) const SESSION_HANDLES: u32 = 0x905;
    pub(crate) const YIELDED: u32 = 0x908;
    pub(crate) const TESTING: u32 = 0x90a;
    pub(crate) const REFERENCE_H0: u32 = 0x910;
    pub(crate) const REFERENCE_S6: u32 = 0x91e;
    pub(crate) const NV_RATE: u32 = 0x920;
    pub(crate) const LOCKOUT: u32 = 0x921;
    pub(crate) const RETRY: u32 = 0x922;
}

impl Error {
    /// The error for response code `code` to `command`, which used or authorized `object`.
    pub(crate) fn from_rc(command: &'static str, object: &'static str, code: u32) -> Self {
        let rc = ResponseCode(code);
        match rc.base() {
            rc::INITIALIZE => Self::NotStarted,
            rc::FAILURE => Self::FailureMode,
            rc::DISABLED => Self::Disabled(command),
            rc::AUTH_UNAVAILABLE => Self::PinExhausted,
            rc::LOCKOUT => Self::Lockout,
            rc::AUTH_FAIL => Self::AuthRejected {
                object,
                counted: true,
            },
            rc::BAD_AUTH => Self::AuthRejected {
                object,
                counted: false,
            },
            rc::POLICY_FAIL => Self::Policy(object),
            rc::INTEGRITY => Self::Integrity(object),
            rc::HIERARCHY => {
                Self::HierarchyDisabled(object.strip_suffix(" hierarchy").unwrap_or(object))
            }
            rc::NV_SPACE => Self::NvSpace,
            rc::OBJECT_MEMORY | rc::SESSION_MEMORY | rc::SESSION_HANDLES => Self::Full,
            rc::COMMAND_CODE => Self::NotSupported(command),
            // The layer of a resource manager, which refuses what it does not know.
            _ if code & 0xffff_0000 == 0x000b_0000 => match code & 0xffff {
                0x143 => Self::NotSupported(command),
                rc::OBJECT_MEMORY | rc::SESSION_MEMORY => Self::Full,
                _ => Self::Command { command, rc },
            },
            rc::REFERENCE_H0..=rc::REFERENCE_S6 => Self::Stale,
            _ => Self::Command { command, rc },
        }
    }

    /// The response code of an otherwise nameless failure.
    #[must_use]
    pub fn response_code(&self) -> Option<ResponseCode> {
        match self {
            Self::Command { rc, .. } => Some(*rc),
            _ => None,
        }
    }

    /// Whether `base` is the code of a nameless failure (see [`ResponseCode::base`]).
    pub(crate) fn is_rc(&self, base: u32) -> bool {
        self.response_code().is_some_and(|rc| rc.base() == base)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_auth_is_told_apart_by_whether_it_counted() {
        let named = |code| Error::from_rc("TPM2_PolicySecret", "PIN counter", code);
        assert!(matches!(
            named(0x98e),
            Error::AuthRejected { counted: true, .. }
        ));
        assert!(matches!(
            named(0x9a2),
            Error::AuthRejected { counted: false, .. }
        ));
        assert!(matches!(named(0x12f), Error::PinExhausted));
        assert!(matches!(named(0x921), Error::Lockout));
        assert!(matches!(named(0x1df), Error::Integrity("PIN counter")));
        assert!(matches!(named(0x99d), Error::Policy("PIN counter")));
    }

    #[test]
    fn an_unknown_code_is_shown_as_it_is() {
        let err = Error::from_rc("TPM2_Sign", "key", 0x3e0);
        assert_eq!(err.to_string(), "TPM2_Sign failed: response code 0x3e0");
        let err = Error::from_rc("TPM2_Sign", "key", 0x2c4);
        assert_eq!(err.to_string(), "TPM2_Sign failed: TPM_RC_VALUE (0x2c4)");
    }

    #[test]
    fn a_resource_managers_code_is_not_taken_for_the_chips() {
        let err = Error::from_rc("TPM2_Sign", "key", 0x000b_0902);
        assert!(matches!(err, Error::Full));
        let err = Error::from_rc("TPM2_Sign", "key", 0x000b_0143);
        assert!(matches!(err, Error::NotSupported("TPM2_Sign")));
    }
}
