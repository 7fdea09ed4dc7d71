//! Failures with the passwords of the TPM's hierarchies.

use token_store::Kind;

use crate::fail::advice::Advice;
use crate::show::words::{closed_for, closed_for_at_most, passwords_are};

/// A failure with the password of a hierarchy of the TPM.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum HierarchyError {
    /// The hierarchy has a password that this would have to replace.
    #[error(
        "ownership of this TPM has been taken already: {} set",
        passwords_are(passwords)
    )]
    AlreadyOwned {
        /// The hierarchies whose passwords are set.
        passwords: Vec<&'static str>,
    },
    /// A password was given for a hierarchy that has none.
    #[error("the TPM has no {hierarchy} password, and one was given")]
    NoPassword {
        /// The hierarchy.
        hierarchy: &'static str,
    },
    /// The password of a hierarchy was wrong, which cost nothing.
    #[error("wrong {hierarchy} password")]
    WrongPassword {
        /// The hierarchy.
        hierarchy: &'static str,
    },
    /// The lockout password was wrong.
    #[error("wrong lockout password; even the right one is refused now{}", closed_for(*.recovery))]
    WrongLockoutPassword {
        /// Seconds; 0 means until a restart.
        recovery: u32,
    },
    /// The lockout password was wrong before.
    #[error("the TPM takes no lockout password after a wrong one{}", closed_for_at_most(*.recovery))]
    LockoutClosed {
        /// Seconds at most; 0 means until a restart.
        recovery: u32,
    },
}

impl Advice for HierarchyError {
    fn kind(&self) -> Kind {
        match self {
            Self::NoPassword { .. } => Kind::Usage,
            Self::WrongPassword { .. } | Self::WrongLockoutPassword { .. } => Kind::WrongPin,
            Self::LockoutClosed { .. } => Kind::PinLocked,
            Self::AlreadyOwned { .. } => Kind::Failed,
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::AlreadyOwned { .. } => {
                "change a password with tpmssh tpm change-auth; if it is lost, only tpmssh tpm clear or the firmware setup helps"
            }
            Self::WrongPassword { .. } => "no try was spent: this password may be tried again",
            Self::LockoutClosed { .. } | Self::WrongLockoutPassword { .. } => {
                "wait with the machine switched on; if the password is lost, clear the TPM in the firmware setup"
            }
            Self::NoPassword { .. } => return None,
        };
        Some(hint.into())
    }
}
