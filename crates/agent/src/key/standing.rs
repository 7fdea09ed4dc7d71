//! What clients have said about keys: removed, or added under conditions.

use crate::key::certificate::Offered;
use crate::machine::clock::Moment;
use crate::protocol::{Constraints, Destination};
use std::collections::HashMap;

/// The conditions of a key that is there.
#[derive(Debug, Clone, Default)]
pub(crate) struct Terms {
    pub(crate) confirm: bool,
    pub(crate) destinations: Vec<Destination>,
    certificates: Vec<Offered>,
    certificates_only: bool,
    until: Option<Moment>,
}

impl Terms {
    /// The blobs to list for a key of this blob, which the store has `kept` certificates for.
    pub(crate) fn listed<'a>(
        &'a self,
        blob: &'a [u8],
        kept: &'a [Offered],
    ) -> impl Iterator<Item = &'a [u8]> {
        let plain = (!self.certificates_only).then_some(blob);
        let added = self
            .certificates
            .iter()
            .filter(|added| !kept.contains(added));
        let current = kept.iter().chain(added).filter(|one| one.is_current());
        plain
            .into_iter()
            .chain(current.map(|one| one.blob.as_slice()))
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
            .filter_map(|certificate| Offered::new(certificate, blob))
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

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
        assert_eq!(terms.listed(b"key", &[]).collect::<Vec<_>>(), [b"key"]);
    }
}
