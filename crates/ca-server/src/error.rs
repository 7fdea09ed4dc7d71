//! Why a machine gets no certificate.

use key_proof::{Check, Error as ProofError};

/// Why a request over the network is not granted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The body is not what it should be, or a check failed.
    #[error(transparent)]
    Proof(#[from] ProofError),
    /// A rule of the authority's own forbids it. `code` is short and does not change.
    #[error("{why}")]
    Denied {
        /// The HTTP status.
        status: u16,
        /// Such as `name-taken`.
        code: &'static str,
        /// What to tell the machine.
        why: &'static str,
    },
    /// The registry cannot be read or written now.
    #[error("the registry is not available")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The authority's key does not sign now.
    #[error("the authority's key does not sign")]
    Signer(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl Refusal {
    /// One text for a TPM that is unknown and one that is revoked: a stranger learns nothing from it.
    pub(crate) const NOT_EXPECTED: Self = Self::Denied {
        status: 403,
        code: "V3",
        why: "this TPM is not one of those that are expected",
    };

    pub(crate) fn denied(status: u16, code: &'static str, why: &'static str) -> Self {
        Self::Denied { status, code, why }
    }

    /// The HTTP status.
    #[must_use]
    pub fn status(&self) -> u16 {
        match self {
            Self::Proof(err) if err.check().is_some() => 403,
            Self::Proof(_) => 400,
            Self::Denied { status, .. } => *status,
            Self::Unavailable(_) | Self::Signer(_) => 503,
        }
    }

    /// A short word for programs: the check that failed, or the rule.
    #[must_use]
    pub fn code(&self) -> String {
        match self {
            Self::Proof(err) => match err.check() {
                Some(check) => check.to_string(),
                None => "malformed".to_owned(),
            },
            Self::Denied { code, .. } => (*code).to_owned(),
            Self::Unavailable(_) => "registry".to_owned(),
            Self::Signer(_) => "signer".to_owned(),
        }
    }

    /// Whether V3 refused it: then the machine gets one text for all reasons.
    pub(crate) fn is_v3(&self) -> bool {
        matches!(
            self,
            Self::Proof(ProofError::Refused {
                check: Check::V3,
                ..
            })
        )
    }
}
