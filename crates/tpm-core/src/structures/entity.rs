//! The entities that a command uses or authorizes, for errors.

use std::fmt;

use crate::structures::hierarchy::Hierarchy;

/// The object, index or hierarchy that a command used or authorized.
///
/// Its [`Display`](fmt::Display) form is for messages. Programs compare the variants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Entity {
    /// The owner hierarchy.
    Owner,
    /// The endorsement hierarchy.
    Endorsement,
    /// The lockout hierarchy.
    Lockout,
    /// The null hierarchy, which has no authorization value.
    Null,
    /// The storage root key.
    Srk,
    /// A [`TokenKey`](crate::TokenKey).
    TokenKey,
    /// An [`ArrivalKey`](crate::ArrivalKey).
    ArrivalKey,
    /// A [`PinCounter`](crate::PinCounter).
    PinCounter,
    /// An [`SoObject`](crate::SoObject).
    So,
    /// A [`ChangeGuard`](crate::ChangeGuard).
    ChangeGuard,
    /// A secret sealed below a token key, or a [`SealedData`](crate::SealedData).
    SealedSecret,
    /// A signing key of a token.
    Key,
    /// A key in the form of a saved context.
    SavedKey,
    /// An [`AttestationKey`](crate::AttestationKey).
    AttestationKey,
    /// An endorsement key.
    EndorsementKey,
    /// An NV index that is not a PIN counter.
    NvIndex,
    /// Anything else, or nothing at all.
    Other,
}

impl Entity {
    /// Whether it is one of the hierarchies.
    pub(crate) const fn is_hierarchy(self) -> bool {
        matches!(
            self,
            Self::Owner | Self::Endorsement | Self::Lockout | Self::Null
        )
    }
}

impl fmt::Display for Entity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Owner => "owner hierarchy",
            Self::Endorsement => "endorsement hierarchy",
            Self::Lockout => "lockout hierarchy",
            Self::Null => "null hierarchy",
            Self::Srk => "storage root key",
            Self::TokenKey => "token key",
            Self::ArrivalKey => "arrival key",
            Self::PinCounter => "PIN counter",
            Self::So => "SO object",
            Self::ChangeGuard => "change guard",
            Self::SealedSecret => "sealed secret",
            Self::Key => "key",
            Self::SavedKey => "saved key",
            Self::AttestationKey => "attestation key",
            Self::EndorsementKey => "endorsement key",
            Self::NvIndex => "NV index",
            Self::Other => "object",
        })
    }
}

impl From<Hierarchy> for Entity {
    fn from(hierarchy: Hierarchy) -> Self {
        match hierarchy {
            Hierarchy::Owner => Self::Owner,
            Hierarchy::Endorsement => Self::Endorsement,
            Hierarchy::Lockout => Self::Lockout,
        }
    }
}
