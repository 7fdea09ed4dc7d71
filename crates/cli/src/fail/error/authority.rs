//! Failures of `ca`: the certificate authorities in the store, what they signed, and what they revoked.

use std::path::PathBuf;

use token_store::Kind;

use crate::fail::advice::Advice;
use crate::show::words::{is_or_are, list};

/// A failure of a certificate authority in this store: what it signed, and what it revoked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum AuthorityError {
    /// `ca revoke` names a certificate that this authority did not sign.
    #[error("this authority signed no certificate with this {what}")]
    NothingToRevoke {
        /// `serial number` or `key id`.
        what: &'static str,
    },
    /// `ca unrevoke` names a certificate or key that is not revoked.
    #[error("this authority has not revoked that")]
    NotRevoked,
    /// `ca renew` names a certificate that another authority signed.
    #[error("this authority did not sign this certificate")]
    NotIssued,
    /// A certificate that is to be renewed is revoked.
    #[error("the certificate with serial number {serial} is revoked")]
    RenewsRevoked {
        /// Its serial number.
        serial: u64,
    },
    /// No key was made an authority.
    #[error("there is no certificate authority yet")]
    NoAuthority,
    /// There are several authorities, and none was named.
    #[error("there are several certificate authorities: {}", list(labels))]
    WhichAuthority {
        /// Their labels.
        labels: Vec<String>,
    },
    /// The key that was named signs no certificates.
    #[error("key \"{label}\" is no certificate authority")]
    NotAnAuthority {
        /// Its label.
        label: String,
    },
    /// `ca revoke` names something that is revoked already.
    #[error("that has been revoked before")]
    RevokedBefore,
    /// A key or certificate that was asked about is revoked.
    #[error("{revoked} of {asked} {} revoked", is_or_are(*.revoked))]
    Revoked {
        /// How many are.
        revoked: usize,
        /// How many were asked about.
        asked: usize,
    },
    /// The file that a revocation list would replace is not one, or cannot be parsed.
    #[error("{} is not replaced", path.display())]
    NotAKrl {
        /// The file.
        path: PathBuf,
        /// Why.
        source: ssh_format::Error,
    },
    /// A new revocation list would lack something that the present one revokes.
    #[error("the list in {} revokes what this store does not", path.display())]
    KrlForgets {
        /// The file.
        path: PathBuf,
    },
    /// A new revocation list would have a lower number than the present one.
    #[error("the list in {} has number {old}, and the new one would have {new}", path.display())]
    KrlGoesBack {
        /// The file.
        path: PathBuf,
        /// The number in the file.
        old: u64,
        /// The number of the new list.
        new: u64,
    },
}

impl Advice for AuthorityError {
    fn kind(&self) -> Kind {
        match self {
            Self::WhichAuthority { .. } | Self::NotAnAuthority { .. } => Kind::Usage,
            Self::RenewsRevoked { .. } | Self::Revoked { .. } => Kind::KeyRefused,
            Self::NotAKrl { .. }
            | Self::KrlForgets { .. }
            | Self::KrlGoesBack { .. }
            | Self::RevokedBefore => Kind::Failed,
            Self::NothingToRevoke { .. }
            | Self::NotRevoked
            | Self::NotIssued
            | Self::NoAuthority => Kind::NotThere,
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::NotAKrl { .. } => "name another file, or replace it anyway with --force",
            Self::KrlForgets { .. } | Self::KrlGoesBack { .. } => {
                "the store may be an old copy: revoke again what is missing (tpmssh ca revoke), or add --force"
            }
            Self::NothingToRevoke { .. } => {
                "tpmssh ca list shows what was signed; --force revokes it anyway"
            }
            Self::NotRevoked => {
                "name it as it was revoked: a serial number, a key id or a key; tpmssh ca list shows what is revoked"
            }
            Self::NotIssued => "tpmssh ca list shows what was signed",
            Self::RenewsRevoked { .. } => {
                "tpmssh ca unrevoke accepts it again; name it as it was revoked, by --serial, --key-id or --key"
            }
            Self::NoAuthority => "make one first: tpmssh ca init",
            Self::WhichAuthority { .. } => "say which one with --ca LABEL",
            Self::NotAnAuthority { .. } => "to make it one: tpmssh ca init --key LABEL",
            _ => return None,
        };
        Some(hint.into())
    }
}
