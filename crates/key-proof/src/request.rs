//! A prover's request. It proves nothing yet: anybody can write one.

use std::fmt;

use base64ct::{Base64UrlUnpadded, Encoding};

use crate::{
    PublicArea, Result, WallClaim,
    hash::sha256,
    transcript::{Fields, Transcript},
};

/// The kind of certificate that is wanted for the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A user certificate.
    User,
    /// A host certificate.
    Host,
    /// Not said: the verifier decides.
    None,
}

impl Kind {
    /// The name in one word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Host => "host",
            Self::None => "none",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Who the person or machine with the TPM is, for a verifier that asks for it.
#[derive(Clone, PartialEq, Eq)]
pub enum Identity {
    /// Not said.
    None,
    /// The holder of a join token: a secret that the verifier gave out before.
    Join(String),
    /// The holder of an SSH key that the verifier knows: an SSHSIG file over [`Request::without_identity`], with the namespace
    /// [`IDENTITY_NAMESPACE`](crate::IDENTITY_NAMESPACE).
    Ssh(String),
    /// The holder of an ID token of an identity provider (OpenID Connect). The token contains [`Request::identity_nonce`].
    Oidc(String),
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::Join(_) => "Join(…)",
            Self::Ssh(_) => "Ssh(…)",
            Self::Oidc(_) => "Oidc(…)",
        })
    }
}

/// A prover's claims: the public areas of its TPM's keys as the chip has them, and what the proof is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The endorsement key (`TPMT_PUBLIC`).
    pub ek: Vec<u8>,
    /// The maker's certificate of the endorsement key (DER, as the chip has it).
    pub ek_certificate: Option<Vec<u8>>,
    /// The certificates between that certificate and a root (DER). The prover puts the nearest first; the verifier takes any order.
    pub chain: Vec<Vec<u8>>,
    /// The attestation key, below the storage root key.
    pub attestation_key: Vec<u8>,
    /// The storage root key.
    pub srk: Vec<u8>,
    /// The token key, the parent of the key.
    pub parent: Vec<u8>,
    /// What guards the token key.
    pub wall: WallClaim,
    /// The key that is proven.
    pub key: Vec<u8>,
    /// The kind of certificate that is wanted for the key.
    pub kind: Kind,
    /// The principals that a certificate may name; empty if the prover names none.
    pub principals: Vec<String>,
    /// The name of the verifier that the proof is for. Other verifiers refuse the proof.
    pub audience: String,
    /// Who the person or machine with the TPM is.
    pub identity: Identity,
    /// The role that the prover asks for, if it names one. The verifier defines the roles.
    pub role: Option<String>,
    /// Random bytes, so that no two requests are the same.
    pub client_random: [u8; 32],
}

impl Request {
    /// The hash that challenge and proof are bound to.
    #[must_use]
    pub fn transcript(&self) -> Transcript {
        self.transcript_with(&match &self.identity {
            Identity::None => Vec::new(),
            Identity::Join(token) => [b"join:", token.as_bytes()].concat(),
            Identity::Ssh(signature) => [b"ssh:", signature.as_bytes()].concat(),
            Identity::Oidc(token) => [b"oidc:", token.as_bytes()].concat(),
        })
    }

    /// The hash of the same request with [`Identity::None`]. The signature in an [`Identity::Ssh`] is over this hash.
    ///
    /// The hash covers the TPM, the key, the names, the audience and the random bytes, so the signature is valid for this request only.
    #[must_use]
    pub fn without_identity(&self) -> Transcript {
        self.transcript_with(b"")
    }

    /// The nonce that an identity provider's ID token for this request has to contain: base64url of the SHA-256 of `tpmssh-oidc-v1`, the Name
    /// of the attestation key and the Name of the key. A stolen token cannot be used for another key.
    ///
    /// # Errors
    ///
    /// [`Error::Malformed`](crate::Error::Malformed) if the public area of one of the keys cannot be read.
    pub fn identity_nonce(&self) -> Result<String> {
        let attestation_key = PublicArea::parse(&self.attestation_key)?.name();
        let key = PublicArea::parse(&self.key)?.name();
        let hash = sha256(&[b"tpmssh-oidc-v1", attestation_key.bytes(), key.bytes()]);
        Ok(Base64UrlUnpadded::encode_string(&hash))
    }

    fn transcript_with(&self, identity: &[u8]) -> Transcript {
        let (counter, so_name, guard_name) = match &self.wall {
            WallClaim::Counter {
                counter,
                so_name,
                guard_name,
            } => (&counter[..], &so_name[..], &guard_name[..]),
            WallClaim::Lockout { so_name } => (&[][..], &so_name[..], &[][..]),
            WallClaim::None => (&[][..], &[][..], &[][..]),
        };
        let mut fields = Fields::default();
        fields.string(b"tpmssh-request-v1");
        fields.string(&self.ek);
        fields.string(self.ek_certificate.as_deref().unwrap_or_default());
        fields.list(self.chain.iter().map(|der| &der[..]));
        fields.string(&self.attestation_key);
        fields.string(&self.srk);
        fields.string(&self.parent);
        fields.string(counter);
        fields.string(so_name);
        fields.string(guard_name);
        fields.string(&self.key);
        fields.string(self.kind.name().as_bytes());
        fields.list(self.principals.iter().map(String::as_bytes));
        fields.string(self.audience.as_bytes());
        fields.string(identity);
        fields.string(&self.client_random);
        // Added only if there is one, so that requests without a role have the same hash as in versions that knew no roles.
        if let Some(role) = &self.role {
            fields.string(role.as_bytes());
        }
        fields.hash()
    }
}
