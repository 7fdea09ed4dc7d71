//! Why a machine gets no certificate.

use key_proof::{Check, Error as ProofError};

/// Why a request over the network is not granted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The body cannot be read, or a check of the proof failed.
    #[error(transparent)]
    Proof(#[from] ProofError),
    /// The policy or the registry forbids it.
    #[error("{why}")]
    Denied {
        /// The HTTP status.
        status: u16,
        /// The code for programs, such as `name-taken`. It does not change between versions.
        code: &'static str,
        /// The sentence for people.
        why: &'static str,
    },
    /// The registry or something else that the node needs is not available now.
    #[error("the registry is not available")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The authority's key does not sign now.
    #[error("the authority's key does not sign")]
    Signer(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl Refusal {
    /// The refusal of a TPM that is unknown, and also of one that is revoked. Both get the same text, so that strangers do not learn which it is.
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

    /// The code for programs: the check that failed, or the rule.
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

    /// Whether check V3 refused the proof. The machine is then told [`Self::NOT_EXPECTED`], whatever the reason.
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
