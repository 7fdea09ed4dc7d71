//! What can go wrong in the program itself, before or after it calls a library.

use std::io;
use std::path::PathBuf;

use token_store::Kind;

/// A failure that is not the TPM's or the store's.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum Error {
    /// The command line cannot be acted on.
    #[error("{0}")]
    Usage(String),

    /// A secret is needed, and neither a terminal nor an askpass program is there.
    #[error("no way to ask for the {what}")]
    NobodyToAsk {
        /// The secret, such as `PIN for token "work"`.
        what: String,
    },
    /// The person pressed Ctrl-D, or the askpass program failed.
    #[error("no answer was given")]
    Declined,
    /// A new secret was not typed the same way twice.
    #[error("the two entries are not the same")]
    SecretsDiffer,
    /// A file with a secret can be read by others, or belongs to somebody else.
    #[error("{} can be read by other users", path.display())]
    ExposedFile {
        /// The file.
        path: PathBuf,
    },
    /// A file with a secret has more than one line.
    #[error("{} has more than one line", path.display())]
    SeveralLines {
        /// The file.
        path: PathBuf,
    },
    /// The end came before the secret.
    #[error("nothing to read from {from}")]
    NothingRead {
        /// The file or descriptor.
        from: String,
    },
    /// The secret does not end.
    #[error("too much to read from {from}")]
    TooMuchRead {
        /// The file or descriptor.
        from: String,
    },
    /// Where a secret should be cannot be read.
    #[error("cannot read {from}")]
    Unreadable {
        /// The file or descriptor.
        from: String,
        /// Why.
        source: io::Error,
    },
    /// The terminal failed.
    #[error("cannot use the terminal")]
    Terminal(#[source] io::Error),
    /// The askpass program could not be run.
    #[error("cannot run the askpass program {}", program.display())]
    Askpass {
        /// `SSH_ASKPASS`.
        program: PathBuf,
        /// Why.
        source: io::Error,
    },

    /// Something irreversible was not confirmed.
    #[error("not confirmed, nothing was changed")]
    NotConfirmed,
    /// Something irreversible has to be confirmed, and there is no terminal.
    #[error("this has to be confirmed, and there is no terminal to ask on")]
    NeedsYes,

    /// There is no token to use.
    #[error("there is no token yet")]
    NoToken,
    /// There are several, and none was named.
    #[error("there are several tokens: {}", list(labels))]
    WhichToken {
        /// Their labels.
        labels: Vec<String>,
    },
    /// The token has no keys.
    #[error("there is no key yet")]
    NoKey,
    /// No key has this label, id or fingerprint.
    #[error("no key \"{name}\"")]
    NoSuchKey {
        /// What was looked for.
        name: String,
    },
    /// Several keys have this label.
    #[error("several keys are called \"{name}\"")]
    AmbiguousKey {
        /// What was looked for.
        name: String,
    },
    /// `setup` found no TPM and may not start a simulator.
    #[error("no TPM found: there is no /dev/tpmrm0 and no other TPM is configured")]
    NoTpmToSetUp,
    /// What was printed could not be written.
    #[error("cannot write to stdout")]
    Stdout(#[source] io::Error),
}

impl Error {
    /// What sort of failure this is, which gives the exit code.
    pub(crate) fn kind(&self) -> Kind {
        match self {
            Self::Usage(_)
            | Self::SeveralLines { .. }
            | Self::NothingRead { .. }
            | Self::TooMuchRead { .. }
            | Self::NeedsYes
            | Self::WhichToken { .. }
            | Self::NoSuchKey { .. }
            | Self::AmbiguousKey { .. } => Kind::Usage,
            Self::ExposedFile { .. } => Kind::UnsafePath,
            Self::NoTpmToSetUp => Kind::NoTpm,
            Self::Stdout(_) => Kind::Disk,
            Self::NobodyToAsk { .. }
            | Self::Declined
            | Self::SecretsDiffer
            | Self::Unreadable { .. }
            | Self::Terminal(_)
            | Self::Askpass { .. }
            | Self::NotConfirmed
            | Self::NoToken
            | Self::NoKey => Kind::Failed,
        }
    }
}

/// `"a", "b" and "c"`.
fn list(names: &[String]) -> String {
    let names: Vec<String> = names.iter().map(|name| format!("\"{name}\"")).collect();
    match names.as_slice() {
        [] => String::new(),
        [one] => one.clone(),
        [most @ .., last] => format!("{} and {last}", most.join(", ")),
    }
}

/// The result of the program's own functions.
pub(crate) type Result<T, E = Error> = std::result::Result<T, E>;
