//! Changes in the TPM during which an operation may be interrupted.

use crate::Error;

/// A change in the TPM during which an operation may be interrupted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Change {
    /// The SO set the user PIN.
    PinReset,
    /// The user changed the PIN.
    PinChange,
    /// A token was taken out of use before its PIN counter was removed.
    Withdrawal,
    /// A token's PIN counter was removed, and its keys with it.
    Deletion,
}

impl Change {
    /// The effect of the change, if it was made.
    pub(super) fn done(self) -> &'static str {
        match self {
            Self::PinReset => "the PIN was reset",
            Self::PinChange => "the PIN was changed",
            Self::Withdrawal => "the token was taken out of use",
            Self::Deletion => "the token was deleted",
        }
    }

    /// The message if the change is made and is not recorded.
    pub(super) fn unrecorded(self) -> &'static str {
        match self {
            Self::PinReset => "the PIN is reset, but the store could not note it",
            Self::PinChange => "the PIN is changed, but the store could not note it",
            Self::Withdrawal => "the token is out of use, but not deleted",
            Self::Deletion => "the token is deleted, but the store still has its traces",
        }
    }

    /// The error to report if the command that makes the change failed with `err`:
    /// [`Error::Unknown`] if the TPM may have made the change.
    pub(crate) fn failed(self, err: Error) -> Error {
        use tpm_core::Error as Tpm;
        let lost = matches!(
            err,
            Error::Tpm(
                Tpm::Timeout { .. }
                    | Tpm::Connection(_)
                    | Tpm::Malformed(_)
                    | Tpm::ReplyForged { .. }
            )
        );
        if !lost {
            return err;
        }
        Error::Unknown {
            change: self,
            source: Box::new(err),
        }
    }

    /// The error to report if the change is made and recording it failed with `err`.
    pub(crate) fn unnoted(self, err: Error) -> Error {
        Error::Unrecorded {
            change: self,
            source: Box::new(err),
        }
    }
}
