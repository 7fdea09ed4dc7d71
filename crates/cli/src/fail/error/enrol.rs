//! Failures of `enroll`, `renew` and `host setup --enroll` on this machine. What the authority says is in `enroll::Error`.

use std::path::PathBuf;

use token_store::Kind;

use crate::fail::advice::Advice;

/// A failure of this machine when it enrols with an authority over the network, or renews.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum EnrolmentError {
    /// Another file of sshd's configuration has a setting that the authority's file needs, and sshd uses only the first.
    #[error("{}, line {line}: {keyword} is set there, and sshd uses only one", config.display())]
    SettingTaken {
        /// Such as `RevokedKeys`.
        keyword: &'static str,
        /// The file.
        config: PathBuf,
        /// The number of the line in it.
        line: usize,
    },
    /// A token has a PIN, no agent has it open, and nobody can be asked.
    #[error("token \"{token}\" is locked, and nobody is asked for its PIN")]
    TokenLocked {
        /// Its label.
        token: String,
    },
    /// No key was enrolled.
    #[error("no key is enrolled with an authority")]
    NotEnrolled,
    /// The file does not contain a join token.
    #[error("{} is not a join token", path.display())]
    NoJoinToken {
        /// The file.
        path: PathBuf,
    },
    /// The key for the identity did not sign the request.
    #[error("the key {key} gives no identity: {why}")]
    NoIdentity {
        /// Its file or name.
        key: String,
        /// What is wrong.
        why: String,
    },
    /// The command for an identity printed no token. Its output is not shown.
    #[error("the command for the identity gives no token: {why}")]
    NoIdentityToken {
        /// What is wrong.
        why: String,
    },
}

impl Advice for EnrolmentError {
    fn kind(&self) -> Kind {
        match self {
            Self::NoJoinToken { .. } => Kind::Usage,
            Self::TokenLocked { .. } => Kind::WrongPin,
            Self::SettingTaken { .. } | Self::NoIdentity { .. } | Self::NoIdentityToken { .. } => {
                Kind::Failed
            }
            Self::NotEnrolled => Kind::NotThere,
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::NotEnrolled => {
                "get a first certificate with: tpmssh enroll URL -n NAME; for a host: sudo tpmssh host setup --enroll URL"
            }
            Self::TokenLocked { .. } => "open it for the agent with: tpmssh unlock",
            Self::SettingTaken { .. } => {
                "that of the authority takes its place, so what it does is to be done otherwise first; then take that line out, and try again"
            }
            _ => return None,
        };
        Some(hint.into())
    }
}
