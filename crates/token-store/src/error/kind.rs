//! The kinds of errors, which are exit codes and PKCS#11 return values.

/// The kind of an [`Error`](super::Error).
///
/// The command line has an exit code for each ([`Kind::exit_code`]), and the PKCS#11 module a table
/// from kinds to `CKR_…` values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// Another failure.
    Failed,
    /// The request is wrong: a label too long, a number out of range.
    Usage,
    /// A wrong PIN, or authorization of a hierarchy.
    WrongPin,
    /// The PIN, or the whole chip, is locked.
    PinLocked,
    /// There is no TPM, the user has no permission to use it, or it does not answer.
    NoTpm,
    /// The TPM is not the one that the token was made in.
    OtherTpm,
    /// The store is damaged or of another version.
    Corrupt,
    /// A key differs from those that this program makes.
    KeyRefused,
    /// A path, its owner or its mode is unsafe.
    UnsafePath,
    /// Another program is using the TPM or the store.
    Busy,
    /// The disk is full, failing or read-only.
    Disk,
    /// No token, key or other thing has that name.
    NotThere,
}

impl Kind {
    /// Each kind once.
    pub const ALL: [Self; 12] = [
        Self::Failed,
        Self::Usage,
        Self::WrongPin,
        Self::PinLocked,
        Self::NoTpm,
        Self::OtherTpm,
        Self::Corrupt,
        Self::KeyRefused,
        Self::UnsafePath,
        Self::Busy,
        Self::Disk,
        Self::NotThere,
    ];

    /// The exit code for this kind.
    #[must_use]
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Failed => 1,
            Self::Usage => 2,
            Self::WrongPin => 3,
            Self::PinLocked => 4,
            Self::NoTpm => 5,
            Self::OtherTpm => 6,
            Self::Corrupt => 7,
            Self::KeyRefused => 8,
            Self::UnsafePath => 9,
            Self::Busy => 10,
            Self::Disk => 11,
            Self::NotThere => 12,
        }
    }
}
