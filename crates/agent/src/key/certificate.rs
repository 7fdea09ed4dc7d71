//! Certificates, as far as an agent has to know them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ssh_format::{AnyKey, Certificate};

/// How long an expired certificate is still offered, as OpenSSH does: clocks differ.
const GRACE: Duration = Duration::from_secs(5 * 60);

/// A certificate that is offered beside its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Offered {
    pub(crate) blob: Vec<u8>,
    /// When it expires, in seconds since 1970.
    expires: u64,
}

impl Offered {
    /// A certificate, if `blob` is one for the key of the blob `key`.
    pub(crate) fn new(blob: &[u8], key: &[u8]) -> Option<Self> {
        let certificate = Certificate::from_blob(blob).ok()?;
        (certificate.key().blob() == key).then(|| Self {
            blob: blob.to_vec(),
            expires: certificate.valid_before(),
        })
    }

    /// Whether it has not expired, or only just.
    pub(crate) fn is_current(&self) -> bool {
        now() < self.expires.saturating_add(GRACE.as_secs())
    }
}

/// The key in a blob: of a key, or of a certificate for it.
pub(crate) fn key_in(blob: &[u8]) -> Option<AnyKey> {
    match Certificate::from_blob(blob) {
        Ok(certificate) => Some(certificate.key().clone()),
        Err(_) => AnyKey::from_blob(blob).ok(),
    }
}

/// The time in seconds since 1970.
pub(crate) fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.unwrap_or_default().as_secs()
}
