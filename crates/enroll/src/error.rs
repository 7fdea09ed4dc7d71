//! Why there is no certificate.

use std::time::Duration;

/// A [`Result`](std::result::Result) with an [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

/// Why an authority gave nothing, or why its answer is not taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The address is none of an authority.
    #[error("{url} is not the address of an authority: {why}")]
    BadUrl {
        /// What was given.
        url: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The certificates for TLS cannot be used.
    #[error("the certificates that TLS is to trust cannot be used: {0}")]
    TlsRoots(String),
    /// Nothing answers, or no TLS connection is made.
    #[error("the authority at {url} does not answer")]
    NoServer {
        /// Where it should be.
        url: String,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The authority cannot do it now.
    #[error("the authority cannot do this now")]
    Busy {
        /// When it may be asked again, if it said so.
        retry_after: Option<Duration>,
    },
    /// The authority refuses: `code` is a check such as `V11`, or a rule such as `name-taken`.
    #[error("the authority refuses ({code}): {detail}")]
    Refused {
        /// A short word that does not change.
        code: String,
        /// Its sentence.
        detail: String,
    },
    /// The authority does not know the key any more: it has to be proven anew.
    #[error("the authority wants the key to be proven anew")]
    Gone,
    /// An administrator has to approve it first.
    #[error("it waits for an administrator of the authority, under number {number}")]
    Pending {
        /// The number for `tpmssh-ca device approve`.
        number: i64,
    },
    /// What came is no answer of an authority, or of another kind.
    #[error("the answer of the authority is not what it should be: {0}")]
    BadAnswer(String),
    /// The answer is in order, but not for what was asked for, or not signed by a key that is trusted.
    #[error("the answer of the authority is refused: {0}")]
    NotTaken(&'static str),
}

impl Error {
    pub(crate) fn bad(err: impl std::fmt::Display) -> Self {
        Self::BadAnswer(err.to_string())
    }
}
