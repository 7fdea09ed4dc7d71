//! The key types of OpenSSH: their names, and the fields of their keys.

use crate::Curve;

/// A key type of OpenSSH.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct KeyType {
    /// Such as `ssh-ed25519`.
    pub(crate) name: &'static str,
    /// Such as `ssh-ed25519-cert-v01@openssh.com`.
    pub(crate) certificate: &'static str,
    /// The fields after the name.
    pub(crate) fields: Fields,
}

/// The fields after the name of the type in the blob of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fields {
    /// `mpint` e, `mpint` n.
    Rsa,
    /// `mpint` p, q, g, y.
    Dsa,
    /// `string` name of the curve, `string` point.
    Ecdsa(Curve),
    /// `string` of 32 bytes.
    Ed25519,
    /// As `Ecdsa` with NIST P-256, then `string` application.
    SkEcdsa,
    /// As `Ed25519`, then `string` application.
    SkEd25519,
    /// `string` of 1,344 bytes: a key of ML-DSA-44, then one of Ed25519.
    Mldsa44Ed25519,
}

impl Fields {
    /// The number of fields. Each is a `string` or an `mpint`, which have the same framing.
    pub(crate) fn count(self) -> usize {
        match self {
            Self::Ed25519 | Self::Mldsa44Ed25519 => 1,
            Self::Rsa | Self::Ecdsa(_) | Self::SkEd25519 => 2,
            Self::SkEcdsa => 3,
            Self::Dsa => 4,
        }
    }
}

/// PROTOCOL.certkeys and PROTOCOL.u2f of OpenSSH. A certificate of another type cannot be parsed,
/// because it does not state where its key ends.
const KEY_TYPES: [KeyType; 10] = [
    key_type("ssh-rsa", "ssh-rsa-cert-v01@openssh.com", Fields::Rsa),
    key_type("ssh-dss", "ssh-dss-cert-v01@openssh.com", Fields::Dsa),
    key_type(
        "ecdsa-sha2-nistp256",
        "ecdsa-sha2-nistp256-cert-v01@openssh.com",
        Fields::Ecdsa(Curve::NistP256),
    ),
    key_type(
        "ecdsa-sha2-nistp384",
        "ecdsa-sha2-nistp384-cert-v01@openssh.com",
        Fields::Ecdsa(Curve::NistP384),
    ),
    key_type(
        "ecdsa-sha2-nistp521",
        "ecdsa-sha2-nistp521-cert-v01@openssh.com",
        Fields::Ecdsa(Curve::NistP521),
    ),
    key_type(
        "ssh-ed25519",
        "ssh-ed25519-cert-v01@openssh.com",
        Fields::Ed25519,
    ),
    key_type(
        "sk-ecdsa-sha2-nistp256@openssh.com",
        "sk-ecdsa-sha2-nistp256-cert-v01@openssh.com",
        Fields::SkEcdsa,
    ),
    key_type(
        "sk-ssh-ed25519@openssh.com",
        "sk-ssh-ed25519-cert-v01@openssh.com",
        Fields::SkEd25519,
    ),
    // Since OpenSSH 10.6; the next line is what releases 10.4 and 10.5 called it.
    key_type(
        "ssh-mldsa44-ed25519",
        "ssh-mldsa44-ed25519-cert",
        Fields::Mldsa44Ed25519,
    ),
    key_type(
        "ssh-mldsa44-ed25519@openssh.com",
        "ssh-mldsa44-ed25519-cert-v01@openssh.com",
        Fields::Mldsa44Ed25519,
    ),
];

const fn key_type(name: &'static str, certificate: &'static str, fields: Fields) -> KeyType {
    KeyType {
        name,
        certificate,
        fields,
    }
}

impl KeyType {
    /// The type with this name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        KEY_TYPES.into_iter().find(|kind| kind.name == name)
    }

    /// The type whose certificates have this name.
    pub(crate) fn of_certificate(name: &str) -> Option<Self> {
        KEY_TYPES.into_iter().find(|kind| kind.certificate == name)
    }
}
