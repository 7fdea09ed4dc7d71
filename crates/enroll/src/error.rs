//! Why there is no certificate.

use std::time::Duration;

use rustls::CertificateError;

use crate::Url;

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
    /// Its TLS certificate is not taken.
    #[error("the TLS certificate of the authority at {url} is not taken: {fault}")]
    BadTls {
        /// Where it is.
        url: String,
        /// What is wrong with it.
        fault: TlsFault,
    },
    /// What answers has no TLS certificate with the SHA-256 that was given.
    #[error("what answers at {url} shows no TLS certificate with the SHA-256 {sha256}")]
    OtherTls {
        /// Where it was asked.
        url: String,
        /// In hexadecimal.
        sha256: String,
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

/// What is wrong with a TLS certificate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TlsFault {
    /// It has ended.
    #[error("it has ended")]
    Ended,
    /// It begins later, by the clock of this machine.
    #[error("by the clock of this machine it is not valid yet")]
    NotYet,
    /// It is for other names.
    #[error("it is for another name than this one")]
    OtherName,
    /// Nothing that is trusted vouches for it.
    #[error("no certificate that is trusted vouches for it")]
    Unknown,
    /// Something else.
    #[error("{0}")]
    Other(String),
}

impl From<&CertificateError> for TlsFault {
    fn from(err: &CertificateError) -> Self {
        use CertificateError as Tls;
        match err {
            Tls::Expired | Tls::ExpiredContext { .. } => Self::Ended,
            Tls::NotValidYet | Tls::NotValidYetContext { .. } => Self::NotYet,
            Tls::NotValidForName | Tls::NotValidForNameContext { .. } => Self::OtherName,
            Tls::UnknownIssuer | Tls::BadSignature => Self::Unknown,
            other => Self::Other(other.to_string()),
        }
    }
}

/// What TLS did not like about the certificate, if that is the cause.
fn certificate_error(err: &ureq::Error) -> Option<&CertificateError> {
    let cause = match err {
        ureq::Error::Rustls(cause) => Some(cause),
        ureq::Error::Io(err) => err.get_ref().and_then(|it| it.downcast_ref()),
        _ => None,
    };
    match cause? {
        rustls::Error::InvalidCertificate(err) => Some(err),
        _ => None,
    }
}

impl Error {
    /// For a request that got no answer.
    pub(crate) fn no_server(url: &Url, err: ureq::Error) -> Self {
        let url = url.to_string();
        match certificate_error(&err) {
            Some(fault) => Self::BadTls {
                url,
                fault: fault.into(),
            },
            None => Self::NoServer {
                url,
                source: err.into(),
            },
        }
    }

    pub(crate) fn bad(err: impl std::fmt::Display) -> Self {
        Self::BadAnswer(err.to_string())
    }
}
