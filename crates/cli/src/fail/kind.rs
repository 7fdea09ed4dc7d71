//! The kind of each failure, which gives the exit code.

use token_store::Kind;

use crate::fail::error::Error;

impl Error {
    /// What sort of failure this is, which gives the exit code.
    pub(crate) fn kind(&self) -> Kind {
        match self {
            Self::Usage(_)
            | Self::BadPolicy { .. }
            | Self::SeveralLines { .. }
            | Self::NothingRead { .. }
            | Self::TooMuchRead { .. }
            | Self::NothingYet { .. }
            | Self::IsATerminal { .. }
            | Self::ByteOrderMark { .. }
            | Self::NeedsYes
            | Self::LastTry
            | Self::NoPassword { .. }
            | Self::EmptyPassword
            | Self::WhichToken { .. }
            | Self::NoPrivateHalf { .. }
            | Self::NotX509 { .. }
            | Self::NotAKeyFile { .. }
            | Self::NoJoinToken { .. }
            | Self::NoRoots { .. }
            | Self::RequestOfOtherKey
            | Self::RequestOfOtherEk
            | Self::LabelTaken { .. }
            | Self::BadLabel(_)
            | Self::WhichAuthority { .. }
            | Self::WhichKey { .. }
            | Self::NoRepository
            | Self::NotAnAuthority { .. }
            | Self::AmbiguousCertificate { .. }
            | Self::AmbiguousKey { .. } => Kind::Usage,
            Self::Unwell { kind, .. } => *kind,
            Self::NotImported { why, .. } => why.kind(),
            Self::ExposedFile { .. } | Self::NotAFile { .. } => Kind::UnsafePath,
            Self::CertificateExpired { .. }
            | Self::Unprovable { .. }
            | Self::ChallengeExpired { .. }
            | Self::ProofOfOtherKey
            | Self::ProofOfOtherNames
            | Self::ProofUsed
            | Self::ProofRequired { .. }
            | Self::RenewsRevoked { .. }
            | Self::NoPrincipals
            | Self::CertificateNotYetValid { .. }
            | Self::NoKeyForCertificate { .. }
            | Self::SignerNotAllowed { .. }
            | Self::Revoked { .. } => Kind::KeyRefused,
            Self::OtherRequest => Kind::OtherTpm,
            Self::BadVerifierKey { .. } => Kind::Corrupt,
            Self::NoTpmToSetUp => Kind::NoTpm,
            Self::TokenLocked { .. }
            | Self::WrongPassword { .. }
            | Self::WrongLockoutPassword { .. } => Kind::WrongPin,
            Self::LockoutClosed { .. } => Kind::PinLocked,
            Self::Stdout(_)
            | Self::DoneUnseen { .. }
            | Self::Unwritable { .. }
            | Self::Unremovable { .. }
            | Self::Unconfirmed { .. } => Kind::Disk,
            Self::NobodyToAsk { .. }
            | Self::NotAKrl { .. }
            | Self::KrlForgets { .. }
            | Self::KrlGoesBack { .. }
            | Self::NotOurFile { .. }
            | Self::NoSystemd { .. }
            | Self::NotStarted { .. }
            | Self::NoOtherHostKey
            | Self::SystemdNotTold { .. }
            | Self::Declined
            | Self::SecretsDiffer
            | Self::Unreadable { .. }
            | Self::Terminal(_)
            | Self::Askpass { .. }
            | Self::NotConfirmed
            | Self::NoCounter { .. }
            | Self::AlreadyOwned { .. }
            | Self::NoKeyFits { .. }
            | Self::NoGit
            | Self::HostKeyNotProven { .. }
            | Self::SigningKeyGone { .. }
            | Self::NotCopied { .. }
            | Self::HostKeyNamed { .. }
            | Self::SettingTaken { .. }
            | Self::RevokedBefore
            | Self::NoIdentity { .. }
            | Self::NoIdentityToken { .. }
            | Self::NotRoot => Kind::Failed,
            Self::NoLostCounter { .. }
            | Self::NoSuchKey { .. }
            | Self::NoSuchCertificate { .. }
            | Self::NothingToRevoke { .. }
            | Self::NotRevoked
            | Self::NotIssued
            | Self::NoToken
            | Self::NoCertificate
            | Self::NoAuthority
            | Self::NoHostKeySetUp
            | Self::NoLoginKey
            | Self::NoEk
            | Self::NoSuchRoot { .. }
            | Self::NotEnrolled
            | Self::NoKey => Kind::NotThere,
        }
    }
}
