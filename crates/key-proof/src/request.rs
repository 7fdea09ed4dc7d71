//! What a prover says of itself. It proves nothing: anybody can write it.

use std::fmt;

use base64ct::{Base64UrlUnpadded, Encoding};

use crate::{
    PublicArea, Result, WallClaim,
    hash::sha256,
    transcript::{Fields, Transcript},
};

/// What a certificate for the key would be for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A user's.
    User,
    /// A host's.
    Host,
    /// Nothing yet: whoever gets the proof decides.
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

/// Who the prover is beside its TPM, for a verifier that asks.
#[derive(Clone, PartialEq, Eq)]
pub enum Identity {
    /// Nobody in particular.
    None,
    /// The holder of a join token: a secret that the verifier gave out before.
    Join(String),
    /// The holder of an SSH key that the verifier knows: an SSHSIG file over [`Request::without_identity`], for the namespace
    /// [`IDENTITY_NAMESPACE`](crate::IDENTITY_NAMESPACE).
    Ssh(String),
    /// The holder of a token of an identity provider (OpenID Connect), which has [`Request::identity_nonce`] in it.
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

/// What a prover says of its TPM and its key: public areas as the chip has them, and what the proof is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// The endorsement key (`TPMT_PUBLIC`).
    pub ek: Vec<u8>,
    /// The maker's certificate of it (DER, as the chip has it).
    pub ek_certificate: Option<Vec<u8>>,
    /// The certificates between that one and a root (DER), nearest first.
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
    /// What a certificate for it would be for.
    pub kind: Kind,
    /// Who the key wants to be: none, or those that a certificate may name.
    pub principals: Vec<String>,
    /// Whom the proof is for: the verifier's own word. No other verifier takes it.
    pub audience: String,
    /// Who the prover is beside its TPM.
    pub identity: Identity,
    /// The role that is asked for, by the verifier's own word, if the prover names one.
    pub role: Option<String>,
    /// Random, so that two requests are never the same.
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

    /// The hash of the same request with [`Identity::None`]: what the signature in an [`Identity::Ssh`] is over.
    ///
    /// It has the TPM, the key, the names, the audience and the random number in it, so that the signature is good for this request alone.
    #[must_use]
    pub fn without_identity(&self) -> Transcript {
        self.transcript_with(b"")
    }

    /// The nonce of a token of an identity provider that is for this request: base64url of the SHA-256 of `tpmssh-oidc-v1`, the Name of the
    /// attestation key and that of the key. A token that was stolen is good for no other key.
    ///
    /// # Errors
    ///
    /// [`Error::Malformed`](crate::Error::Malformed) if one of the keys is none.
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
        // One string more, so that it is no other request's bytes. Without a role, the hash is that of versions before there was one.
        if let Some(role) = &self.role {
            fields.string(role.as_bytes());
        }
        fields.hash()
    }
}
