//! The hierarchies of a TPM and their permanent handles.

/// A hierarchy whose authorization value the owner of the machine sets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Hierarchy {
    /// The owner hierarchy: storage keys, NV indexes.
    Owner,
    /// The endorsement hierarchy: endorsement keys, attestation.
    Endorsement,
    /// Dictionary-attack lockout: its reset and parameters, and clearing the chip.
    Lockout,
}

impl Hierarchy {
    /// All three.
    pub const ALL: [Self; 3] = [Self::Owner, Self::Endorsement, Self::Lockout];

    /// The name in one word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Endorsement => "endorsement",
            Self::Lockout => "lockout",
        }
    }

    /// The permanent handle.
    pub(crate) const fn handle(self) -> u32 {
        match self {
            Self::Owner => permanent::OWNER,
            Self::Lockout => permanent::LOCKOUT,
            Self::Endorsement => permanent::ENDORSEMENT,
        }
    }
}

/// Permanent handles (`TPM_RH`, `TPM_RS_PW`).
///
/// # Source
///
/// Part 2, section 7.4 "TPM_RH".
pub(crate) mod permanent {
    pub(crate) const OWNER: u32 = 0x4000_0001;
    pub(crate) const NULL: u32 = 0x4000_0007;
    /// An authorization value in the clear; used here only for empty ones.
    pub(crate) const PASSWORD: u32 = 0x4000_0009;
    pub(crate) const LOCKOUT: u32 = 0x4000_000a;
    pub(crate) const ENDORSEMENT: u32 = 0x4000_000b;
}
