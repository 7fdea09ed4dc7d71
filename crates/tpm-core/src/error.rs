//! The errors of this crate. Only this file turns response codes into errors.

use std::{io, path::PathBuf};

pub(crate) use crate::structures::response_code::rc;
use crate::structures::{command_code::CommandCode, entity::Entity, response_code::ResponseCode};

/// A result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A failed use of the TPM, named by what the caller can do next.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is no TPM at this connection.
    #[error("no TPM at {tcti}")]
    NoTpm {
        /// The connection that was tried.
        tcti: String,
        /// Why it failed.
        source: io::Error,
    },
    /// This user has no permission to open the TPM's device node.
    #[error("permission denied on {}", path.display())]
    PermissionDenied {
        /// The device node.
        path: PathBuf,
    },
    /// The connection string is not one that is supported.
    #[error("unusable TPM connection \"{given}\": {why}")]
    Tcti {
        /// The given text, shortened and without control characters.
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
    /// This thread has an [`Operation`](crate::Operation) already: drop it before the next one.
    #[error("this thread is in the middle of another operation with the TPM")]
    AlreadyBegun,
    /// The connection broke in the middle of an exchange.
    #[error("the connection to the TPM broke")]
    Connection(#[source] io::Error),
    /// Data from the TPM or from the caller is not in the format that it should have.
    #[error("malformed {0}")]
    Malformed(&'static str),
    /// The reply has a wrong HMAC: it does not come from the TPM that holds the storage root key.
    #[error("the reply to {command} was not authenticated by the TPM")]
    ReplyForged {
        /// The command.
        command: CommandCode,
    },
    /// A command would use a secret before the TPM has proven that it is the right one.
    #[error("the TPM has not proven yet that it is the right one")]
    Unproven,
    /// The chip is a TPM 1.2, which this crate does not support.
    #[error("this is a TPM 1.2, and not a TPM 2.0")]
    Tpm12,
    /// The TPM has failed its self test and answers nothing else.
    #[error("the TPM is in failure mode")]
    FailureMode,
    /// The platform has not sent `TPM2_Startup` to the TPM.
    #[error("the TPM has not been started")]
    NotStarted,
    /// The authorization value was wrong.
    #[error("wrong authorization for the {entity}")]
    AuthRejected {
        /// Whose authorization value it was.
        entity: Entity,
        /// Whether the chip counted the attempt in its dictionary-attack lockout
        /// (`TPM_RC_AUTH_FAIL`).
        counted: bool,
    },
    /// The PIN counter has reached its limit: the chip refuses every PIN, also the right one.
    #[error("the PIN counter is exhausted")]
    PinExhausted,
    /// The PIN counter does not hold the limit that was written to it.
    #[error("the PIN counter does not hold the limit that was written to it")]
    WrongLimit,
    /// The chip is in dictionary-attack lockout.
    #[error("the TPM is in dictionary-attack lockout")]
    Lockout,
    /// The storage root key is not the one that was pinned.
    #[error("this is another TPM, or it has been cleared")]
    OtherTpm,
    /// There is no storage root key and it could not be made.
    #[error("the TPM has no storage root key")]
    NoSrk,
    /// A challenge was made for another TPM, or for another attestation key than the one of this store.
    #[error("the challenge is for another TPM, or for one that was cleared since")]
    OtherChallenge,
    /// A stored blob is not of this TPM, or was tampered with.
    #[error("the {0} does not belong to this TPM or was changed")]
    Integrity(Entity),
    /// The policy of an object does not allow the command.
    #[error("the policy of the {0} does not allow this")]
    Policy(Entity),
    /// The key differs from those that this crate creates, and is not used.
    #[error("key refused: {0}")]
    KeyRefused(&'static str),
    /// The private key that was to be imported is not sound, or no key at all.
    #[error("not a sound key: {0}")]
    Unsound(&'static str),
    /// The chip has no room for another NV index.
    #[error("the TPM has no room for another NV index")]
    NvSpace,
    /// The NV index exists already.
    #[error("NV index {0:#010x} exists already")]
    NvDefined(u32),
    /// The NV index does not exist.
    #[error("NV index {0:#010x} does not exist")]
    NvMissing(u32),
    /// The NV index cannot be read with an empty password.
    #[error("NV index {0:#010x} cannot be read")]
    NvUnreadable(u32),
    /// The persistent handle is occupied.
    #[error("persistent handle {0:#010x} is occupied")]
    HandleOccupied(u32),
    /// The chip cannot do this.
    #[error("this TPM does not support {0}")]
    NotSupported(&'static str),
    /// The caller's arguments do not fit together, such as an RSA scheme and an ECC key. Nothing
    /// was sent to the chip.
    #[error("{0}")]
    InvalidArgument(&'static str),
    /// The hierarchy is switched off.
    #[error("the {0} is disabled")]
    HierarchyDisabled(Entity),
    /// The command is switched off in this chip (e.g. `TPM2_Clear`).
    #[error("{0} is disabled in this TPM")]
    Disabled(CommandCode),
    /// All object or session slots are taken by others.
    #[error("the TPM has no free slot for another object or session")]
    Full,
    /// The chip no longer knows a saved or loaded key: load it again.
    #[error("the loaded key is gone from the TPM")]
    Stale,
    /// An authorization value is longer than a TPM takes.
    #[error("an authorization value is longer than 32 bytes")]
    AuthTooLong,
    /// The digest has the wrong length for the scheme.
    #[error("a digest of {0} bytes cannot be signed with this scheme")]
    DigestLength(usize),
    /// The chip returned a signature that its public key does not verify.
    #[error("the TPM returned a wrong signature")]
    WrongSignature,
    /// Until the deadline, the chip answered only that it is busy or that the command should be
    /// sent again.
    #[error("{}", .0.meaning().unwrap_or("the TPM asks for patience"))]
    NotReady(ResponseCode),
    /// The chip answers nothing until the machine is restarted or a firmware update is finished.
    #[error("{}", .0.meaning().unwrap_or("the TPM has to be restarted"))]
    NeedsRestart(ResponseCode),
    /// A command failed with a response code that has no variant of its own.
    #[error("{command} failed: {rc}")]
    Command {
        /// The command.
        command: CommandCode,
        /// The response code.
        rc: ResponseCode,
    },
}

impl From<tpm_wire::Malformed> for Error {
    fn from(err: tpm_wire::Malformed) -> Self {
        Self::Malformed(err.what)
    }
}

impl Error {
    /// The error for response code `code` to `command`, which used or authorized `entity`.
    pub(crate) fn from_rc(command: CommandCode, entity: Entity, code: u32) -> Self {
        let rc = ResponseCode(code);
        match rc.base() {
            // The TPM has not answered at all.
            _ if rc.is_of_transport() => Self::Connection(io::Error::other(rc.to_string())),
            rc::INITIALIZE => Self::NotStarted,
            // For a secret that was encrypted to another RSA key, chips return TPM_RC_FAILURE and keep working. For
            // another ECC key or attestation key they return TPM_RC_INTEGRITY, for malformed data an error of the parameter.
            _ if command == CommandCode::ActivateCredential && rc.refuses_secret() => {
                Self::OtherChallenge
            }
            rc::FAILURE => Self::FailureMode,
            rc::DISABLED => Self::Disabled(command),
            rc::AUTH_UNAVAILABLE => Self::PinExhausted,
            rc::LOCKOUT => Self::Lockout,
            rc::AUTH_FAIL => Self::AuthRejected {
                entity,
                counted: true,
            },
            rc::BAD_AUTH => Self::AuthRejected {
                entity,
                counted: false,
            },
            rc::POLICY_FAIL => Self::Policy(entity),
            rc::INTEGRITY => Self::Integrity(entity),
            rc::HIERARCHY if entity.is_hierarchy() => Self::HierarchyDisabled(entity),
            rc::NV_SPACE => Self::NvSpace,
            rc::OBJECT_MEMORY
            | rc::SESSION_MEMORY
            | rc::MEMORY
            | rc::SESSION_HANDLES
            | rc::OBJECT_HANDLES => Self::Full,
            rc::YIELDED
            | rc::CANCELED
            | rc::TESTING
            | rc::NV_RATE
            | rc::RETRY
            | rc::NV_UNAVAILABLE
            | rc::CONTEXT_GAP => Self::NotReady(rc),
            rc::UPGRADE | rc::REBOOT => Self::NeedsRestart(rc),
            rc::COMMAND_CODE => Self::NotSupported(command.name()),
            // Codes of the layer of a resource manager, which answers in place of the chip.
            _ if code & 0xffff_0000 == 0x000b_0000 => match code & 0xffff {
                0x143 => Self::NotSupported(command.name()),
                rc::OBJECT_MEMORY | rc::SESSION_MEMORY | rc::MEMORY => Self::Full,
                rc::REFERENCE_H0..=rc::REFERENCE_S6 => Self::Stale,
                _ => Self::Command { command, rc },
            },
            rc::REFERENCE_H0..=rc::REFERENCE_S6 => Self::Stale,
            _ => Self::Command { command, rc },
        }
    }

    /// The response code, for the variants that hold one.
    #[must_use]
    pub fn response_code(&self) -> Option<ResponseCode> {
        match self {
            Self::Command { rc, .. } | Self::NotReady(rc) | Self::NeedsRestart(rc) => Some(*rc),
            _ => None,
        }
    }

    /// Whether the chip refused parameter `number` with one of the codes of `family` (see
    /// [`ResponseCode::base`]). Chips differ in which one they return.
    ///
    /// A code that names no parameter counts, too, because some chips omit the number.
    pub(crate) fn refuses_parameter(&self, number: u32, family: &[u32]) -> bool {
        self.response_code().is_some_and(|rc| {
            family.contains(&rc.base())
                && !rc.is_about_handle()
                && rc.parameter().is_none_or(|given| given == number)
        })
    }

    /// Whether the chip refused a stored object because the object was changed or belongs to
    /// another chip, and not because of the chip's state, the PIN or the connection.
    #[must_use]
    pub fn is_spoilt_blob(&self) -> bool {
        matches!(self, Self::Integrity(_))
    }

    /// Whether the error holds a response code with this base (see [`ResponseCode::base`]).
    pub(crate) fn is_rc(&self, base: u32) -> bool {
        self.response_code().is_some_and(|rc| rc.base() == base)
    }
}

#[cfg(test)]
mod tests {
    use testing::assert_matches;

    use super::*;

    #[test]
    fn wrong_auth_is_told_apart_by_whether_it_counted() {
        let named = |code| Error::from_rc(CommandCode::PolicySecret, Entity::PinCounter, code);
        assert_matches!(named(0x98e), Error::AuthRejected { counted: true, .. });
        assert_matches!(named(0x9a2), Error::AuthRejected { counted: false, .. });
        assert_matches!(named(0x12f), Error::PinExhausted);
        assert_matches!(named(0x921), Error::Lockout);
        assert_matches!(named(0x1df), Error::Integrity(Entity::PinCounter));
        assert_matches!(named(0x99d), Error::Policy(Entity::PinCounter));
    }

    /// Seen on swtpm: another RSA endorsement key gives TPM_RC_FAILURE and the chip carries on.
    #[test]
    fn a_challenge_for_another_chip_is_no_failure_of_this_one() {
        let err = |code| {
            Error::from_rc(
                CommandCode::ActivateCredential,
                Entity::EndorsementKey,
                code,
            )
        };
        for code in [
            0x101, 0x154, 0x1d5, 0x1df, 0x2d5, 0x29a, 0x2da, 0x1c4, 0x0a7,
        ] {
            assert_matches!(err(code), Error::OtherChallenge, "{code:#x}");
        }
        assert_matches!(err(0x9a2), Error::AuthRejected { .. });
        // The handle of the endorsement key, which is gone.
        assert_matches!(err(0x284), Error::Command { .. });
        assert_matches!(err(0x910), Error::Stale);
        let err = Error::from_rc(CommandCode::Sign, Entity::Key, 0x101);
        assert_matches!(err, Error::FailureMode);
    }

    #[test]
    fn only_a_hierarchy_is_reported_as_disabled() {
        let err = |entity| Error::from_rc(CommandCode::CreatePrimary, entity, 0x185);
        assert_eq!(
            err(Entity::Endorsement).to_string(),
            "the endorsement hierarchy is disabled"
        );
        assert_matches!(err(Entity::SavedKey), Error::Command { .. });
    }

    #[test]
    fn an_unknown_code_is_shown_as_it_is() {
        let err = Error::from_rc(CommandCode::Sign, Entity::Key, 0x500);
        assert_eq!(
            err.to_string(),
            "TPM2_Sign failed: response code 0x500 of the maker's own"
        );
        let err = Error::from_rc(CommandCode::Sign, Entity::Key, 0x2c4);
        assert_eq!(
            err.to_string(),
            "TPM2_Sign failed: the TPM does not take this value (TPM_RC_VALUE, parameter 2)"
        );
    }

    #[test]
    fn codes_that_ask_to_wait_or_to_restart_are_told_apart() {
        let text = |code| Error::from_rc(CommandCode::Load, Entity::Key, code).to_string();
        assert_eq!(text(0x90a), "the TPM is still testing itself");
        assert_eq!(
            text(0x920),
            "the TPM limits how often its memory is written"
        );
        assert_eq!(text(0x909), "somebody stopped the command");
        assert_eq!(
            text(0x901),
            "another program has kept a session for too long"
        );
        assert_eq!(text(0x12d), "the TPM is in the middle of a firmware update");
        assert_eq!(text(0x904), Error::Full.to_string());
    }

    #[test]
    fn a_family_of_refusals_is_about_one_parameter() {
        let err = |code| Error::from_rc(CommandCode::NvDefineSpace, Entity::NvIndex, code);
        let family = [rc::ATTRIBUTES, rc::RESERVED_BITS, rc::VALUE, rc::TYPE];
        for code in [0x2c2, 0x2e1, 0x2c4, 0x2ca, 0x082] {
            assert!(err(code).refuses_parameter(2, &family), "{code:#x}");
        }
        // Other parameters, handles and sessions.
        for code in [0x1c2, 0x2d5, 0x14b, 0x184, 0x282, 0x984] {
            assert!(!err(code).refuses_parameter(2, &family), "{code:#x}");
        }
    }

    #[test]
    fn a_chip_that_is_not_reached_is_a_broken_connection_and_no_spoilt_blob() {
        for code in [
            0x000a_000a,
            0x000a_0008,
            0x0007_0007,
            0x0008_0001,
            0x000d_0001,
        ] {
            let err = Error::from_rc(CommandCode::Load, Entity::Key, code);
            assert_matches!(err, Error::Connection(_), "{code:#x}: {err:?}");
            assert!(!err.is_spoilt_blob(), "{code:#x}");
        }
        let err = Error::from_rc(CommandCode::Load, Entity::Key, 0x000a_000a);
        let cause = std::error::Error::source(&err).map(ToString::to_string);
        let text = "the resource manager does not reach the TPM (code 0xa000a)";
        assert_eq!(cause.as_deref(), Some(text));
        let err = Error::from_rc(CommandCode::Load, Entity::Key, 0x000b_0001);
        assert_eq!(
            err.to_string(),
            "TPM2_Load failed: the resource manager refused the command (code 0xb0001)"
        );
        assert!(!err.is_spoilt_blob());
    }

    #[test]
    fn a_resource_managers_code_is_not_taken_for_the_chips() {
        let err = Error::from_rc(CommandCode::Sign, Entity::Key, 0x000b_0902);
        assert_matches!(err, Error::Full);
        let err = Error::from_rc(CommandCode::Sign, Entity::Key, 0x000b_0143);
        assert_matches!(err, Error::NotSupported("TPM2_Sign"));
    }
}
