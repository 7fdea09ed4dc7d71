//! The key types whose certificates can be read: how many fields each has.

/// A key type of OpenSSH.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct KeyType {
    /// Such as `ssh-ed25519`.
    pub(crate) name: &'static str,
    /// Such as `ssh-ed25519-cert-v01@openssh.com`.
    pub(crate) certificate: &'static str,
    /// How many `string` fields the key has after its name. A number (`mpint`) is framed as a
    /// string is.
    pub(crate) fields: usize,
}

/// PROTOCOL.certkeys and PROTOCOL.u2f of OpenSSH. A certificate of a type that is not here
/// cannot be read at all: nothing in it says where its key ends.
const KEY_TYPES: [KeyType; 8] = [
    key_type("ssh-rsa", "ssh-rsa-cert-v01@openssh.com", 2),
    key_type("ssh-dss", "ssh-dss-cert-v01@openssh.com", 4),
    key_type(
        "ecdsa-sha2-nistp256",
        "ecdsa-sha2-nistp256-cert-v01@openssh.com",
        2,
    ),
    key_type(
        "ecdsa-sha2-nistp384",
        "ecdsa-sha2-nistp384-cert-v01@openssh.com",
        2,
    ),
    key_type(
        "ecdsa-sha2-nistp521",
        "ecdsa-sha2-nistp521-cert-v01@openssh.com",
        2,
    ),
    key_type("ssh-ed25519", "ssh-ed25519-cert-v01@openssh.com", 1),
    key_type(
        "sk-ecdsa-sha2-nistp256@openssh.com",
        "sk-ecdsa-sha2-nistp256-cert-v01@openssh.com",
        3,
    ),
    key_type(
        "sk-ssh-ed25519@openssh.com",
        "sk-ssh-ed25519-cert-v01@openssh.com",
        2,
    ),
];

const fn key_type(name: &'static str, certificate: &'static str, fields: usize) -> KeyType {
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
