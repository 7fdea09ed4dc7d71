//! Fingerprints: the short form of a public key, for people to compare.

use std::fmt;

use sha2::{Digest, Sha256};

/// The SHA-256 of a public key's blob.
///
/// Displayed as `ssh-keygen -l` and `ssh` show it: `SHA256:` and base64
/// without padding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// The fingerprint of a public key's blob.
    #[must_use]
    pub fn of_blob(blob: &[u8]) -> Self {
        Self(Sha256::digest(blob).into())
    }

    /// The fingerprint that is shown as `text`; `None` if it is another text.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        match text.parse() {
            Ok(ssh_key::Fingerprint::Sha256(hash)) => Some(Self(hash)),
            _ => None,
        }
    }

    /// The hash itself, as an `SSHFP` record of type 2 carries it (RFC 6594).
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl From<[u8; 32]> for Fingerprint {
    fn from(hash: [u8; 32]) -> Self {
        Self(hash)
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        ssh_key::Fingerprint::Sha256(self.0).fmt(f)
    }
}
