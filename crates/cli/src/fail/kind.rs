//! The kind of each failure, which gives the exit code.

use token_store::Kind;

use crate::fail::advice::Advice;
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
            | Self::EmptyPassword
            | Self::WhichToken { .. }
            | Self::NoPrivateHalf { .. }
            | Self::NotAKeyFile { .. }
            | Self::LabelTaken { .. }
            | Self::BadLabel(_)
            | Self::WhichKey { .. }
            | Self::NoRepository
            | Self::AmbiguousKey { .. } => Kind::Usage,
            Self::Proof(err) => err.kind(),
            Self::Enrol(err) => err.kind(),
            Self::Host(err) => err.kind(),
            Self::Hierarchy(err) => err.kind(),
            Self::Certificate(err) => err.kind(),
            Self::Authority(err) => err.kind(),
            Self::Unwell { kind, .. } => *kind,
            Self::NotImported { why, .. } => why.kind(),
            Self::ExposedFile { .. } | Self::NotAFile { .. } => Kind::UnsafePath,
            Self::SignerNotAllowed { .. } => Kind::KeyRefused,
            Self::NoTpmToSetUp => Kind::NoTpm,
            Self::Stdout(_)
            | Self::DoneUnseen { .. }
            | Self::Unwritable { .. }
            | Self::Unremovable { .. }
            | Self::Unconfirmed { .. } => Kind::Disk,
            Self::NobodyToAsk { .. }
            | Self::NotOurFile { .. }
            | Self::NoSystemd { .. }
            | Self::NotStarted { .. }
            | Self::SystemdNotTold { .. }
            | Self::Declined
            | Self::SecretsDiffer
            | Self::Unreadable { .. }
            | Self::Terminal(_)
            | Self::Askpass { .. }
            | Self::NotConfirmed
            | Self::NoCounter { .. }
            | Self::NoGit
            | Self::SigningKeyGone { .. }
            | Self::NotCopied { .. }
            | Self::NotRoot => Kind::Failed,
            Self::NoLostCounter { .. }
            | Self::NoSuchKey { .. }
            | Self::NoToken
            | Self::NoLoginKey
            | Self::NoKey => Kind::NotThere,
        }
    }
}
