//! The short form of a public key that people compare.

use std::fmt;

use ssh_key::HashAlg;
use ssh_key::public::KeyData;

/// The SHA-256 of a public key's blob.
///
/// Displayed as `ssh-keygen -l` and `ssh` show it: `SHA256:` and base64
/// without padding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    pub(crate) fn of(key: &KeyData) -> Self {
        let mut hash = [0; 32];
        hash.copy_from_slice(key.fingerprint(HashAlg::Sha256).as_bytes());
        Self(hash)
    }

    /// The hash itself, as an `SSHFP` record of type 2 carries it (RFC 6594).
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        ssh_key::Fingerprint::Sha256(self.0).fmt(f)
    }
}
