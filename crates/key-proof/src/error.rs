//! What can be wrong with a file, and why a proof is refused.

use std::fmt;

use ssh_format::text::{one_line, quoted};

/// A result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a request, challenge, proof or statement is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file or structure cannot be read: bad JSON, bad base64, cut short, or bytes left over.
    #[error("malformed {what}: {why}")]
    Malformed {
        /// Such as `request` or `public area`.
        what: &'static str,
        /// The reason, as one line. It may quote the file; invisible characters are escaped.
        why: String,
    },
    /// A file of this crate with the wrong format, such as a request instead of a proof.
    #[error("this is a {found} file, and a {wanted} file is needed")]
    OtherFile {
        /// The `format` of the file, from a list of known ones.
        found: &'static str,
        /// The `format` that is needed.
        wanted: &'static str,
    },
    /// A request was shown as a proof. Anybody can write a request.
    #[error("proof refused: this is a request, which proves nothing yet")]
    OnlyARequest,
    /// A certificate on the path from the endorsement key to the maker's root has expired (V1).
    /// [`Policy::ignore_expiry`](crate::Policy::ignore_expiry) accepts it.
    #[error("proof refused: a certificate has expired")]
    Expired,
    /// The request names a principal that the policy does not allow (V6).
    #[error("proof refused: the principal {} is not allowed", quoted(.name))]
    PrincipalNotAllowed {
        /// The first such principal, as the prover wrote it.
        name: String,
    },
    /// Another check failed.
    #[error("proof refused: {why}")]
    Refused {
        /// The check that failed.
        check: Check,
        /// What was wrong, as the end of a sentence.
        why: &'static str,
    },
}

impl From<tpm_wire::Malformed> for Error {
    fn from(err: tpm_wire::Malformed) -> Self {
        Self::malformed(err.what, err.why)
    }
}

impl Error {
    /// The check that refused the proof; `None` for a file that cannot be read or is not a proof.
    #[must_use]
    pub const fn check(&self) -> Option<Check> {
        match self {
            Self::Expired => Some(Check::V1),
            Self::PrincipalNotAllowed { .. } => Some(Check::V6),
            Self::Refused { check, .. } => Some(*check),
            Self::Malformed { .. } | Self::OtherFile { .. } | Self::OnlyARequest => None,
        }
    }

    pub(crate) fn malformed(what: &'static str, why: impl fmt::Display) -> Self {
        // Parts of a file may be quoted in the reason.
        let why = one_line(&why.to_string()).into_owned();
        Self::Malformed { what, why }
    }
}

/// `Err` with the check that failed.
pub(crate) fn refuse<T>(check: Check, why: &'static str) -> Result<T> {
    Err(Error::Refused { check, why })
}

macro_rules! checks {
    ($($variant:ident, $doc:literal;)+) => {
        /// The checks of a proof, in the order in which they are numbered.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Check {
            $(#[doc = $doc] $variant,)+
        }

        impl Check {
            /// All checks.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// What the check looks at.
            #[must_use]
            pub const fn about(self) -> &'static str {
                match self {
                    $(Self::$variant => $doc,)+
                }
            }
        }

        impl fmt::Display for Check {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self {
                    $(Self::$variant => stringify!($variant),)+
                })
            }
        }
    };
}

checks! {
    V1, "the certificate of the endorsement key";
    V2, "the public area of the endorsement key";
    V3, "whether this TPM is one of those that count";
    V4, "the public area of the attestation key";
    V5, "the key, its parent and the wall around it";
    V6, "for what and for whom the proof is";
    V7, "the ticket of the challenge";
    V8, "the answer to the challenge: the TPM holds both endorsement and attestation key";
    V9, "the TPM's attestation and its signature";
    V10, "whether the attestation answers this challenge";
    V11, "which key was certified";
    V12, "where in the TPM the keys are";
    V13, "the signature by the key itself";
}
