//! PIN walls: how a token key is protected.

use crate::{
    Name, PinCounter,
    command::{
        CommandCode,
        policy::{self, Branch},
    },
    structures::template::Guard,
};

/// How a token key is protected from a thief who has its blob.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wall {
    /// The token key's policy needs the authorization value of a [`PinCounter`], which is derived
    /// from the PIN. Too many wrong PINs lock only this token.
    Counter(PinCounter),
    /// The token key's own authorization value is derived from the PIN. Wrong PINs count in the
    /// chip's dictionary-attack lockout, which all programs on the machine share.
    Lockout {
        /// The Name of the SO object, with which the PIN can be reset.
        so: Name,
    },
    /// No PIN: anybody with the blob and access to the TPM can use the keys.
    None,
}

impl Wall {
    pub(super) fn guard(&self) -> Guard {
        match self {
            Self::Counter(_) => Guard::Policy,
            Self::Lockout { .. } => Guard::Auth,
            Self::None => Guard::Nothing,
        }
    }

    pub(super) fn policy(&self) -> Vec<u8> {
        match self {
            Self::Counter(counter) => Branch::new().secret(counter.name()).digest().to_vec(),
            Self::Lockout { so } => policy::any_of(&branches(so)).to_vec(),
            Self::None => Vec::new(),
        }
    }
}

/// The policy of changing the authorization value behind the chip's lockout: by the SO value, or by
/// the old value.
pub(super) fn branches(so: &Name) -> [Branch; 2] {
    let change = Branch::new().command(CommandCode::ObjectChangeAuth);
    [change.secret(so), change.auth_value()]
}
