//! What clients have said about keys: removed, or added under conditions.

use std::collections::HashMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ssh_key::Certificate;

use crate::clock::Moment;
use crate::protocol::{Constraints, Destination};

/// How long an expired certificate is still offered, as OpenSSH does: clocks differ.
const GRACE: Duration = Duration::from_secs(5 * 60);

/// The conditions of a key that is there.
#[derive(Debug, Clone, Default)]
pub(crate) struct Terms {
    pub(crate) confirm: bool,
    pub(crate) destinations: Vec<Destination>,
    certificates: Vec<Vec<u8>>,
    certificates_only: bool,
    until: Option<Moment>,
}

impl Terms {
    /// The blobs to list for a key of this blob.
    pub(crate) fn listed<'a>(&'a self, blob: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
        let plain = (!self.certificates_only).then_some(blob);
        let current = self.certificates.iter().filter(|blob| is_current(blob));
        plain.into_iter().chain(current.map(Vec::as_slice))
    }
}

/// The keys of which something was said, by blob; the others are there, and free.
#[derive(Debug, Default)]
pub(crate) struct Standings(HashMap<Vec<u8>, Option<Terms>>);

impl Standings {
    /// The terms of a key; `None` if it was removed or its time is over.
    pub(crate) fn terms(&self, blob: &[u8]) -> Option<Terms> {
        match self.0.get(blob) {
            None => Some(Terms::default()),
            Some(Some(terms)) if terms.until.is_none_or(|until| Moment::now() < until) => {
                Some(terms.clone())
            }
            Some(_) => None,
        }
    }

    /// Adds a key, or replaces what was said of it.
    pub(crate) fn add(&mut self, blob: &[u8], constraints: &Constraints) {
        let certificates: Vec<_> = constraints
            .certificates
            .iter()
            .filter(|certificate| plain_key(certificate).is_some_and(|plain| plain == blob))
            .cloned()
            .collect();
        let terms = Terms {
            confirm: constraints.confirm,
            destinations: constraints.destinations.clone(),
            // Without a certificate for this key there is nothing to offer instead of it.
            certificates_only: constraints.certificates_only && !certificates.is_empty(),
            certificates,
            until: constraints
                .lifetime
                .and_then(|time| Moment::now().after(time)),
        };
        self.0.insert(blob.to_vec(), Some(terms));
    }

    /// Removes a key until it is added again.
    pub(crate) fn remove(&mut self, blob: &[u8]) {
        self.0.insert(blob.to_vec(), None);
    }
}

/// The blob of the key that a certificate is for; `None` if it is no certificate.
pub(crate) fn plain_key(certificate: &[u8]) -> Option<Vec<u8>> {
    let certificate = Certificate::from_bytes(certificate).ok()?;
    let key = ssh_key::PublicKey::from(certificate.public_key().clone());
    key.to_bytes().ok()
}

fn is_current(certificate: &[u8]) -> bool {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Certificate::from_bytes(certificate).is_ok_and(|certificate| {
        now.as_secs() < certificate.valid_before().saturating_add(GRACE.as_secs())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_there_unless_somebody_said_otherwise() {
        let mut standings = Standings::default();
        assert!(standings.terms(b"key").is_some());
        standings.remove(b"key");
        assert!(standings.terms(b"key").is_none());
        assert!(standings.terms(b"other").is_some());
        standings.add(b"key", &Constraints::default());
        assert!(standings.terms(b"key").is_some());
    }

    /// A18.
    #[test]
    fn a_lifetime_ends() {
        let mut standings = Standings::default();
        let lifetime = |seconds| Constraints {
            lifetime: Some(Duration::from_secs(seconds)),
            ..Constraints::default()
        };
        standings.add(b"key", &lifetime(60));
        assert!(standings.terms(b"key").is_some());
        standings.add(b"key", &lifetime(0));
        assert!(standings.terms(b"key").is_none());
    }

    #[test]
    fn what_is_no_certificate_of_the_key_is_not_listed() {
        let mut standings = Standings::default();
        let constraints = Constraints {
            certificates: vec![b"nonsense".to_vec()],
            certificates_only: true,
            ..Constraints::default()
        };
        standings.add(b"key", &constraints);
        let terms = standings.terms(b"key").unwrap();
        assert_eq!(terms.listed(b"key").collect::<Vec<_>>(), [b"key"]);
    }
}
