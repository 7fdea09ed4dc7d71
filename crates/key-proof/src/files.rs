//! Requests, challenges, proofs and statements as files: JSON with base64 in it.
//!
//! A file is one JSON object with a field `"format"`, at most [`MAX_FILE_LEN`] bytes long. Unknown fields are refused. Hashes and signatures
//! are over the bytes of the fields, not over the JSON, so spaces and the order of fields do not matter.

use base64ct::{Base64, Encoding};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::{
    Challenge, Error, Identity, Kind, Name, Proof, Renewal, Request, Result, Statement, WallClaim,
};

/// The longest file that is read, in bytes.
pub const MAX_FILE_LEN: usize = 64 * 1024;

const REQUEST: &str = "tpmssh-request-v1";
const CHALLENGE: &str = "tpmssh-challenge-v1";
const PROOF: &str = "tpmssh-proof-v1";
const RENEWAL: &str = "tpmssh-renewal-v1";
const STATEMENT: &str = "tpmssh-statement-v1";

/// Bytes in base64 (RFC 4648, section 4, padded).
struct Bytes(Vec<u8>);

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&Base64::encode_string(&self.0))
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        Base64::decode_vec(&text)
            .map(Self)
            .map_err(|_| de::Error::custom("a field is not base64"))
    }
}

/// Exactly 32 bytes, in base64.
struct Bytes32([u8; 32]);

impl Serialize for Bytes32 {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&Base64::encode_string(&self.0))
    }
}

impl<'de> Deserialize<'de> for Bytes32 {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let Bytes(bytes) = Bytes::deserialize(from)?;
        let bytes = bytes.try_into();
        bytes
            .map(Self)
            .map_err(|_| de::Error::custom("a field has not 32 bytes"))
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RequestFile {
    format: String,
    ek: Bytes,
    ek_cert: Option<Bytes>,
    chain: Vec<Bytes>,
    ak: Bytes,
    srk: Bytes,
    parent: Bytes,
    wall: WallFile,
    key: Bytes,
    kind: KindFile,
    principals: Vec<String>,
    audience: String,
    identity: IdentityFile,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    role: Option<String>,
    client_random: Bytes32,
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
enum WallFile {
    Counter {
        counter: Bytes,
        so_name: Bytes,
        guard_name: Bytes,
    },
    Lockout {
        so_name: Bytes,
    },
    None {},
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum KindFile {
    User,
    Host,
    None,
}

impl From<KindFile> for Kind {
    fn from(kind: KindFile) -> Self {
        match kind {
            KindFile::User => Self::User,
            KindFile::Host => Self::Host,
            KindFile::None => Self::None,
        }
    }
}

impl From<Kind> for KindFile {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::User => Self::User,
            Kind::Host => Self::Host,
            Kind::None => Self::None,
        }
    }
}

/// Who the prover is beside its TPM.
#[derive(Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase", deny_unknown_fields)]
enum IdentityFile {
    None {},
    Join { value: String },
    Ssh { value: String },
    Oidc { value: String },
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ChallengeFile {
    format: String,
    id_object: Bytes,
    secret: Bytes,
    nonce: Bytes32,
    ticket: Bytes,
    expires: u64,
    request: Bytes32,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ProofFile {
    format: String,
    request: RequestFile,
    ticket: Bytes,
    activation: Bytes,
    attest: Bytes,
    signature: Bytes,
    sshsig: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RenewalFile {
    format: String,
    ak_name: Bytes,
    key_name: Bytes,
    kind: KindFile,
    principals: Vec<String>,
    nonce: Bytes32,
    attest: Bytes,
    signature: Bytes,
    sshsig: String,
}

impl Request {
    /// Reads a request file.
    ///
    /// # Errors
    ///
    /// [`Error::OtherFile`]; [`Error::Malformed`], also for fields that are unknown, missing or there twice.
    pub fn from_json(bytes: &[u8]) -> Result<Self> {
        let file: RequestFile = read(bytes, REQUEST, "request")?;
        file.into_request()
    }

    /// The request as a file.
    #[must_use]
    pub fn to_json(&self) -> String {
        write(&RequestFile::from(self))
    }
}

impl Challenge {
    /// Reads a challenge file.
    ///
    /// # Errors
    ///
    /// As for [`Request::from_json`].
    pub fn from_json(bytes: &[u8]) -> Result<Self> {
        let file: ChallengeFile = read(bytes, CHALLENGE, "challenge")?;
        Ok(Self {
            id_object: file.id_object.0,
            secret: file.secret.0,
            nonce: file.nonce.0,
            ticket: file.ticket.0,
            expires: file.expires,
            request: file.request.0,
        })
    }

    /// The challenge as a file.
    #[must_use]
    pub fn to_json(&self) -> String {
        write(&ChallengeFile {
            format: CHALLENGE.to_owned(),
            id_object: Bytes(self.id_object.clone()),
            secret: Bytes(self.secret.clone()),
            nonce: Bytes32(self.nonce),
            ticket: Bytes(self.ticket.clone()),
            expires: self.expires,
            request: Bytes32(self.request),
        })
    }
}

impl Proof {
    /// Reads a proof file.
    ///
    /// # Errors
    ///
    /// [`Error::OnlyARequest`] for a request; otherwise as for [`Request::from_json`].
    pub fn from_json(bytes: &[u8]) -> Result<Self> {
        let file: ProofFile = match read(bytes, PROOF, "proof") {
            Err(Error::OtherFile { found: REQUEST, .. }) => return Err(Error::OnlyARequest),
            file => file?,
        };
        Ok(Self {
            request: file.request.into_request()?,
            ticket: file.ticket.0,
            activation: file.activation.0,
            attest: file.attest.0,
            signature: file.signature.0,
            sshsig: file.sshsig,
        })
    }

    /// The proof as a file.
    #[must_use]
    pub fn to_json(&self) -> String {
        write(&ProofFile {
            format: PROOF.to_owned(),
            request: RequestFile::from(&self.request),
            ticket: Bytes(self.ticket.clone()),
            activation: Bytes(self.activation.clone()),
            attest: Bytes(self.attest.clone()),
            signature: Bytes(self.signature.clone()),
            sshsig: self.sshsig.clone(),
        })
    }
}

impl Renewal {
    /// Reads a renewal.
    ///
    /// # Errors
    ///
    /// As for [`Request::from_json`].
    pub fn from_json(bytes: &[u8]) -> Result<Self> {
        let file: RenewalFile = read(bytes, RENEWAL, "renewal")?;
        Ok(Self {
            attestation_key: Name::from_bytes(&file.ak_name.0)?,
            key: Name::from_bytes(&file.key_name.0)?,
            kind: file.kind.into(),
            principals: file.principals,
            nonce: file.nonce.0,
            attest: file.attest.0,
            signature: file.signature.0,
            sshsig: file.sshsig,
        })
    }

    /// The renewal as a file.
    #[must_use]
    pub fn to_json(&self) -> String {
        write(&RenewalFile {
            format: RENEWAL.to_owned(),
            ak_name: Bytes(self.attestation_key.bytes().to_vec()),
            key_name: Bytes(self.key.bytes().to_vec()),
            kind: self.kind.into(),
            principals: self.principals.clone(),
            nonce: Bytes32(self.nonce),
            attest: Bytes(self.attest.clone()),
            signature: Bytes(self.signature.clone()),
            sshsig: self.sshsig.clone(),
        })
    }
}

impl Statement {
    /// Reads a statement file. It does not check the verifier's signature: `ssh-keygen -Y verify` does.
    ///
    /// # Errors
    ///
    /// As for [`Request::from_json`].
    pub fn from_json(bytes: &[u8]) -> Result<Self> {
        read(bytes, STATEMENT, "statement")
    }

    /// The statement as a file.
    #[must_use]
    pub fn to_json(&self) -> String {
        write(self)
    }
}

impl RequestFile {
    fn into_request(self) -> Result<Request> {
        if self.format != REQUEST {
            return Err(Error::malformed("request", "its format is another one"));
        }
        Ok(Request {
            ek: self.ek.0,
            ek_certificate: self.ek_cert.map(|it| it.0),
            chain: self.chain.into_iter().map(|it| it.0).collect(),
            attestation_key: self.ak.0,
            srk: self.srk.0,
            parent: self.parent.0,
            wall: match self.wall {
                WallFile::Counter {
                    counter,
                    so_name,
                    guard_name,
                } => WallClaim::Counter {
                    counter: counter.0,
                    so_name: so_name.0,
                    guard_name: guard_name.0,
                },
                WallFile::Lockout { so_name } => WallClaim::Lockout { so_name: so_name.0 },
                WallFile::None {} => WallClaim::None,
            },
            key: self.key.0,
            kind: self.kind.into(),
            principals: self.principals,
            audience: self.audience,
            identity: match self.identity {
                IdentityFile::None {} => Identity::None,
                IdentityFile::Join { value } => Identity::Join(value),
                IdentityFile::Ssh { value } => Identity::Ssh(value),
                IdentityFile::Oidc { value } => Identity::Oidc(value),
            },
            role: self.role,
            client_random: self.client_random.0,
        })
    }
}

impl From<&Request> for RequestFile {
    fn from(request: &Request) -> Self {
        let bytes = |bytes: &[u8]| Bytes(bytes.to_vec());
        Self {
            format: REQUEST.to_owned(),
            ek: bytes(&request.ek),
            ek_cert: request.ek_certificate.as_deref().map(bytes),
            chain: request.chain.iter().map(|der| bytes(der)).collect(),
            ak: bytes(&request.attestation_key),
            srk: bytes(&request.srk),
            parent: bytes(&request.parent),
            wall: match &request.wall {
                WallClaim::Counter {
                    counter,
                    so_name,
                    guard_name,
                } => WallFile::Counter {
                    counter: bytes(counter),
                    so_name: bytes(so_name),
                    guard_name: bytes(guard_name),
                },
                WallClaim::Lockout { so_name } => WallFile::Lockout {
                    so_name: bytes(so_name),
                },
                WallClaim::None => WallFile::None {},
            },
            key: bytes(&request.key),
            kind: request.kind.into(),
            principals: request.principals.clone(),
            audience: request.audience.clone(),
            identity: match &request.identity {
                Identity::None => IdentityFile::None {},
                Identity::Join(value) => IdentityFile::Join {
                    value: value.clone(),
                },
                Identity::Ssh(value) => IdentityFile::Ssh {
                    value: value.clone(),
                },
                Identity::Oidc(value) => IdentityFile::Oidc {
                    value: value.clone(),
                },
            },
            role: request.role.clone(),
            client_random: Bytes32(request.client_random),
        }
    }
}

/// Reads a file of the format `wanted`; `what` is its name in errors.
fn read<T: de::DeserializeOwned>(
    bytes: &[u8],
    wanted: &'static str,
    what: &'static str,
) -> Result<T> {
    if bytes.len() > MAX_FILE_LEN {
        return Err(Error::malformed(what, "it is longer than 64 KiB"));
    }
    match format_of(bytes) {
        Some(found) if found != wanted => return Err(Error::OtherFile { found, wanted }),
        Some(_) => {}
        None => return Err(Error::malformed(what, "it is not a file of tpmssh's")),
    }
    serde_json::from_slice(bytes).map_err(|err| Error::malformed(what, err))
}

/// The format in the field `format`, if it is a known one.
fn format_of(bytes: &[u8]) -> Option<&'static str> {
    #[derive(Deserialize)]
    struct Head {
        format: String,
    }
    let head: Head = serde_json::from_slice(bytes).ok()?;
    [REQUEST, CHALLENGE, PROOF, RENEWAL, STATEMENT]
        .into_iter()
        .find(|format| *format == head.format)
}

fn write(file: &impl Serialize) -> String {
    let mut text =
        serde_json::to_string_pretty(file).expect("a file has no maps with strange keys");
    text.push('\n');
    text
}
