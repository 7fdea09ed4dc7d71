//! The hash of a request, to which every part of a proof is bound, and the messages that contain it.

use crate::hash::sha256;

/// The SHA-256 of a request. Its challenge and its proof contain it.
///
/// The hash is over the bytes of the fields, not over the JSON.
pub type Transcript = [u8; 32];

/// Collects fields as strings of RFC 4251 (section 5). Each has its length before it, so bytes cannot move from one field to the next.
#[derive(Default)]
pub(crate) struct Fields(Vec<u8>);

impl Fields {
    /// Adds a `string`: 4 bytes of length, big-endian, then the bytes.
    pub(crate) fn string(&mut self, bytes: &[u8]) {
        ssh_format::wire::put_string(&mut self.0, bytes);
    }

    /// Adds a list: 4 bytes with the number of strings, big-endian, then the strings.
    pub(crate) fn list<'a>(&mut self, items: impl ExactSizeIterator<Item = &'a [u8]>) {
        let count = u32::try_from(items.len()).unwrap_or(u32::MAX);
        self.0.extend_from_slice(&count.to_be_bytes());
        items.for_each(|item| self.string(item));
    }

    pub(crate) fn hash(&self) -> Transcript {
        sha256(&[&self.0])
    }
}

/// The namespace of the signature by the key itself (SSHSIG) over a [`Transcript`].
pub const ENROLL_NAMESPACE: &str = "enroll@tpmssh";

/// The namespace of the signature (SSHSIG) by another SSH key of the person who asks: [`Identity::Ssh`](crate::Identity::Ssh).
pub const IDENTITY_NAMESPACE: &str = "identity@tpmssh";

/// The namespace of a verifier's signature under a statement.
pub const STATEMENT_NAMESPACE: &str = "statement@tpmssh";

/// The qualifying data of the `TPM2_Certify` that answers a challenge.
#[must_use]
pub fn qualifying_data(nonce: &[u8; 32], transcript: &Transcript) -> [u8; 32] {
    sha256(&[b"tpmssh-certify-v1", nonce, transcript])
}

/// An HMAC-SHA-256 that shows knowledge of the challenge's secret without revealing the secret.
#[must_use]
pub fn activation(secret: &[u8], transcript: &Transcript) -> [u8; 32] {
    let mac = crate::HashAlg::Sha256.hmac(secret, &[b"tpmssh-activate-v1", transcript]);
    let mut out = [0; 32];
    out.copy_from_slice(&mac);
    out
}
