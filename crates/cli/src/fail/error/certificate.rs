//! Failures of `cert`: the certificates that are kept in the store.

use token_store::Kind;

use crate::fail::advice::Advice;

/// A failure with a certificate that is kept here.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum CertificateError {
    /// No X.509 certificate was read.
    #[error("no X.509 certificate in {from}")]
    NotX509 {
        /// The file.
        from: String,
    },
    /// A certificate is for another key.
    #[error("no key here is the one that the certificate in {from} is for")]
    NoKeyFits {
        /// The file.
        from: String,
    },
    /// A certificate has no principals.
    #[error("the certificate has no principals, and servers refuse such a certificate")]
    NoPrincipals,
    /// A certificate is not valid any more.
    #[error("the certificate expired at {since}")]
    CertificateExpired {
        /// When.
        since: String,
    },
    /// A certificate is not valid yet.
    #[error("the certificate is not valid before {until}")]
    CertificateNotYetValid {
        /// When it will be.
        until: String,
    },
    /// A certificate is for a key that is elsewhere.
    #[error("the certificate is for another key: {fingerprint} is not in the TPM")]
    NoKeyForCertificate {
        /// Of the key that it is for.
        fingerprint: String,
    },
    /// No certificate is kept.
    #[error("there is no certificate yet")]
    NoCertificate,
    /// No certificate has this number or key id.
    #[error("no certificate \"{name}\"")]
    NoSuchCertificate {
        /// What was looked for.
        name: String,
    },
    /// Several certificates have this key id.
    #[error("several certificates are called \"{name}\"")]
    AmbiguousCertificate {
        /// What was looked for.
        name: String,
    },
}

impl Advice for CertificateError {
    fn kind(&self) -> Kind {
        match self {
            Self::NotX509 { .. } | Self::AmbiguousCertificate { .. } => Kind::Usage,
            Self::CertificateExpired { .. }
            | Self::NoPrincipals
            | Self::CertificateNotYetValid { .. }
            | Self::NoKeyForCertificate { .. } => Kind::KeyRefused,
            Self::NoKeyFits { .. } => Kind::Failed,
            Self::NoSuchCertificate { .. } | Self::NoCertificate => Kind::NotThere,
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::CertificateExpired { .. } => "get a new one; --force keeps it anyway",
            Self::CertificateNotYetValid { .. } => {
                "see with date whether the clock is right; --force keeps it anyway"
            }
            Self::NoKeyForCertificate { .. } => {
                "tpmssh export --all shows the keys to have certified"
            }
            Self::NoCertificate => "add one that an authority made: tpmssh cert add FILE",
            Self::NoSuchCertificate { .. } => "tpmssh cert list shows what there is",
            Self::AmbiguousCertificate { .. } => {
                "give the number instead, which tpmssh cert list shows"
            }
            Self::NoPrincipals => {
                "have it signed again with ssh-keygen -n NAMES; --force keeps it anyway"
            }
            Self::NotX509 { .. } => {
                "it takes PEM, DER and PKCS#7 (.p7b); tpmssh cert add takes SSH certificates"
            }
            Self::NoKeyFits { .. } => "make the request for a certificate with: tpmssh csr",
        };
        Some(hint.into())
    }
}
