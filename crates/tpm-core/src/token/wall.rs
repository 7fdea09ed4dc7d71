//! The walls around a token key.

use crate::{
    Name, PinCounter,
    command::{
        CommandCode,
        policy::{self, Branch},
    },
    structures::template::Guard,
};

/// What stands between a token key and whoever has its blob.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wall {
    /// The PIN is the authorization value of a [`PinCounter`], which the token key's policy
    /// asks for. Wrong PINs lock this token and nothing else.
    Counter(PinCounter),
    /// The PIN is the token key's own authorization value. Wrong PINs count towards the
    /// chip's dictionary-attack lockout, which everything on the machine shares.
    Lockout {
        /// The Name of the SO object, which may reset the PIN.
        so: Name,
    },
    /// Nothing: who has the blob and the machine may use the keys.
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

/// Who may change the authorization value in lockout mode: the SO, and who knows it.
pub(super) fn branches(so: &Name) -> [Branch; 2] {
    let change = Branch::new().command(CommandCode::ObjectChangeAuth);
    [change.secret(so), change.auth_value()]
}
