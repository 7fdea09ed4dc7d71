//! Failures of proofs, of the verifier that checks them, and of the certificates of TPM makers.

use std::path::PathBuf;

use token_store::Kind;

use crate::fail::advice::Advice;

/// A failure with a proof, with its verifier, or with the certificates of TPM makers.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum ProofError {
    /// A key was not made in the TPM, or can leave it.
    #[error(
        "key \"{label}\" was made outside of this TPM: nothing can prove that there is no copy"
    )]
    Unprovable {
        /// Its label.
        label: String,
    },
    /// The challenge and the request that were given do not belong together.
    #[error("the challenge is for another request, or for another TPM")]
    OtherRequest,
    /// The challenge has expired.
    #[error("the challenge expired at {since}")]
    ChallengeExpired {
        /// When.
        since: String,
    },
    /// The request is for a key that is not here, or not the one that was named.
    #[error("the request is for another key")]
    RequestOfOtherKey,
    /// The request names an endorsement key of no template that is known here.
    #[error("the endorsement key of the request is of no kind that a TPM makes for tpmssh")]
    RequestOfOtherEk,
    /// The proof is for another key than the one to be certified.
    #[error("proof refused: it is for another key than the one to be certified")]
    ProofOfOtherKey,
    /// The proof asks for other principals than the certificate would have.
    #[error("proof refused: it does not ask for all of these principals")]
    ProofOfOtherNames,
    /// A certificate was signed for this proof before.
    #[error("proof refused: a certificate was signed for it before")]
    ProofUsed,
    /// The authority certifies only with a proof, and none was given.
    #[error("authority \"{label}\" certifies only keys with a proof that a TPM holds them")]
    ProofRequired {
        /// Its label.
        label: String,
    },
    /// The file with the verifier's key is damaged.
    #[error("{} is not the key of a verifier", path.display())]
    BadVerifierKey {
        /// The file.
        path: PathBuf,
    },
    /// No certificate of a maker was found.
    #[error("no certificate of a TPM maker in {}", path.display())]
    NoRoots {
        /// The file or directory.
        path: PathBuf,
    },
    /// No certificate that is kept has this fingerprint.
    #[error("no certificate is kept whose SHA-256 begins with {fingerprint}")]
    NoSuchRoot {
        /// As it was given.
        fingerprint: String,
    },
    /// The TPM has no endorsement key at a persistent handle.
    #[error("this TPM has no persistent endorsement key")]
    NoEk,
}

impl Advice for ProofError {
    fn kind(&self) -> Kind {
        match self {
            Self::NoRoots { .. } | Self::RequestOfOtherKey | Self::RequestOfOtherEk => Kind::Usage,
            Self::Unprovable { .. }
            | Self::ChallengeExpired { .. }
            | Self::ProofOfOtherKey
            | Self::ProofOfOtherNames
            | Self::ProofUsed
            | Self::ProofRequired { .. } => Kind::KeyRefused,
            Self::OtherRequest => Kind::OtherTpm,
            Self::BadVerifierKey { .. } => Kind::Corrupt,
            Self::NoEk | Self::NoSuchRoot { .. } => Kind::NotThere,
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::ProofRequired { .. } => {
                "the owner of the key makes one: tpmssh prove KEY -o request.json; then give it with --proof FILE"
            }
            Self::Unprovable { .. } => "make a key that can be proven with: tpmssh keygen",
            Self::OtherRequest => "give the request that the challenge was made for with --request",
            Self::RequestOfOtherEk => "make a new request with: tpmssh prove KEY -o request.json",
            Self::ChallengeExpired { .. } | Self::ProofUsed => {
                "make a new challenge with: tpmssh ca challenge REQUEST -o challenge.json"
            }
            Self::NoSuchRoot { .. } => "see which there are with: tpmssh ek roots list",
            Self::NoEk => "make one with: tpmssh tpm create-ek",
            _ => return None,
        };
        Some(hint.into())
    }
}
