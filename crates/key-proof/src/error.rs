//! What can be wrong with a file, and what a proof is refused for.

use std::fmt;

use ssh_format::text::{one_line, quoted};

/// A result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a request, challenge, proof or statement is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// It is not what it claims to be: bad JSON, bad base64, a structure cut short or with bytes left over.
    #[error("malformed {what}: {why}")]
    Malformed {
        /// Such as `request` or `public area`.
        what: &'static str,
        /// What is wrong with it, as one line. It may quote the file; characters that cannot be seen are escaped then.
        why: String,
    },
    /// It is a file of this family, and not the one that is needed here.
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
    /// A maker's certificate, or one on the path to it, has expired (V1). [`Policy::ignore_expiry`](crate::Policy::ignore_expiry) takes
    /// it all the same.
    #[error("proof refused: a certificate has expired ({})", Check::V1)]
    Expired,
    /// The key wants to be somebody that it may not be (V6).
    #[error("proof refused: the principal {} is not allowed ({})", quoted(.name), Check::V6)]
    PrincipalNotAllowed {
        /// The first such principal, as the prover wrote it.
        name: String,
    },
    /// Another check failed.
    #[error("proof refused: {why} ({check})")]
    Refused {
        /// The check.
        check: Check,
        /// What it found, as the end of a sentence.
        why: &'static str,
    },
}

impl From<tpm_wire::Malformed> for Error {
    fn from(err: tpm_wire::Malformed) -> Self {
        Self::malformed(err.what, err.why)
    }
}

impl Error {
    /// The check that refused the proof; `None` for a file that is malformed or is no proof.
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
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// What it looks at.
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
