//! Failures of `host`: the host keys of sshd.

use std::path::PathBuf;

use token_store::Kind;

use crate::fail::advice::Advice;
use crate::fail::host_key::NotProven;

/// A failure with the host keys of sshd.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum HostError {
    /// Without the TPM's host keys, sshd would have no host key.
    #[error("sshd would have no host key left")]
    NoOtherHostKey,
    /// A server did not show that it has a host key of the TPM.
    #[error("the server at {at} does not prove host key \"{label}\": {why}")]
    HostKeyNotProven {
        /// Address and port.
        at: String,
        /// The label of the key.
        label: String,
        /// What was seen.
        why: NotProven,
    },
    /// No host key of the TPM is set up for sshd.
    #[error("no host key of the TPM is set up for sshd")]
    NoHostKeySetUp,
    /// A file of sshd's configuration names a host key that would have to be left out.
    #[error(
        "line {line} of {} names the host key {}{}",
        config.display(), key.display(),
        if *same { ", which has the same type and curve" } else { ", which --only cannot leave out" }
    )]
    HostKeyNamed {
        /// The host key.
        key: PathBuf,
        /// The file that names it.
        config: PathBuf,
        /// The line in that file.
        line: usize,
        /// Whether it is of the same type and curve as the key of the TPM.
        same: bool,
    },
}

impl Advice for HostError {
    fn kind(&self) -> Kind {
        match self {
            Self::NoOtherHostKey | Self::HostKeyNotProven { .. } | Self::HostKeyNamed { .. } => {
                Kind::Failed
            }
            Self::NoHostKeySetUp => Kind::NotThere,
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::NoOtherHostKey => {
                "sudo ssh-keygen -A makes some; --force removes the TPM's anyway"
            }
            Self::HostKeyNotProven { why, .. } => return Some(why.hint()),
            Self::NoHostKeySetUp => "set one up: sudo tpmssh host setup",
            Self::HostKeyNamed { same: true, .. } => {
                "take that line out, or choose another kind with -t and -b"
            }
            Self::HostKeyNamed { .. } => "take that line out, then try again",
        };
        Some(hint.into())
    }
}
