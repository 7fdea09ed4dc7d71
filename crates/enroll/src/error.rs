//! The errors of a client: why it got no certificate.

use std::time::Duration;

use rustls::CertificateError;

use crate::Url;

/// A [`Result`](std::result::Result) with an [`Error`].
pub type Result<T> = std::result::Result<T, Error>;

/// Why an authority refused, or why its answer is not accepted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The address is not one of an authority.
    #[error("{url} is not the address of an authority: {why}")]
    BadUrl {
        /// The address as it was given.
        url: String,
        /// What is wrong with the address.
        why: &'static str,
    },
    /// The certificates for TLS cannot be used.
    #[error("the certificates that TLS is to trust cannot be used: {0}")]
    TlsRoots(String),
    /// Nothing answers, or there is no TLS connection.
    #[error("the authority at {url} does not answer")]
    NoServer {
        /// The address that was asked.
        url: String,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The authority's TLS certificate is not accepted.
    #[error("the TLS certificate of the authority at {url} is not taken: {fault}")]
    BadTls {
        /// The address that was asked.
        url: String,
        /// What is wrong with the certificate.
        fault: TlsFault,
    },
    /// The server shows no TLS certificate with the SHA-256 that was given.
    #[error("what answers at {url} shows no TLS certificate with the SHA-256 {sha256}")]
    OtherTls {
        /// The address that was asked.
        url: String,
        /// The SHA-256, in hexadecimal.
        sha256: String,
    },
    /// The authority cannot answer now.
    #[error("the authority cannot do this now")]
    Busy {
        /// How long to wait before the next try, if the authority said so.
        retry_after: Option<Duration>,
    },
    /// The authority refuses. The message is its sentence, or its code if it sent no sentence.
    #[error("the authority refuses: {}", if detail.is_empty() { code } else { detail })]
    Refused {
        /// The code, for programs: a check of the proof such as `V11`, or a rule such as `name-taken`.
        code: String,
        /// The authority's sentence, for people.
        detail: String,
    },
    /// The authority issues no more certificates for the key until it is proven again.
    #[error("the authority demands a new proof of the key")]
    Gone,
    /// An administrator has to approve the key first.
    #[error("it waits for an administrator of the authority, under number {number}")]
    Pending {
        /// The number for `tpmssh-ca device approve`.
        number: i64,
    },
    /// The answer is not one of an authority, or not of the kind that was asked for.
    #[error("the answer of the authority is not what it should be: {0}")]
    BadAnswer(String),
    /// The answer can be read, but is not for what was asked for, too old, or not signed by a trusted key.
    #[error("the answer of the authority is refused: {0}")]
    NotTaken(&'static str),
}

/// What is wrong with a TLS certificate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TlsFault {
    /// The certificate has expired.
    #[error("it has ended")]
    Ended,
    /// The certificate is not valid yet by the clock of this machine.
    #[error("by the clock of this machine it is not valid yet")]
    NotYet,
    /// The certificate is for other names.
    #[error("it is for another name than this one")]
    OtherName,
    /// No trusted certificate vouches for this one.
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

/// The fault of the TLS certificate, if that is the cause of `err`.
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
    /// The error for a request that got no answer.
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
