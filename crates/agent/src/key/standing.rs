//! What clients have said about keys: removed, or added under conditions.
//!
//! A program cannot loosen a condition by itself: neither by adding the key again, nor by removing
//! one or all keys first, nor by waiting until the lifetime is over. That takes a person or the PIN
//! of the token; `request/cards.rs` decides who has to be asked.

use std::collections::HashMap;

use crate::key::certificate::Offered;
use crate::machine::clock::Moment;
use crate::protocol::{Constraints, Destination};

/// The conditions of a key.
#[derive(Debug, Clone, Default)]
pub(crate) struct Terms {
    pub(crate) confirm: bool,
    pub(crate) destinations: Vec<Destination>,
    certificates: Vec<Offered>,
    certificates_only: bool,
    until: Option<Moment>,
}

impl Terms {
    /// The conditions that begin now for the key of this blob.
    pub(crate) fn new(blob: &[u8], constraints: &Constraints) -> Self {
        let certificates: Vec<_> = constraints
            .certificates
            .iter()
            .filter_map(|certificate| Offered::new(certificate, blob))
            .collect();
        Self {
            confirm: constraints.confirm,
            destinations: constraints.destinations.clone(),
            // Without a certificate for this key there is nothing to offer instead of it.
            certificates_only: constraints.certificates_only && !certificates.is_empty(),
            certificates,
            until: constraints
                .lifetime
                .and_then(|time| Moment::now().after(time)),
        }
    }

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

    /// Whether these conditions permit something that `other` does not. Destinations count as
    /// wider unless `other` has each of them unchanged, because each entry permits more.
    fn is_looser_than(&self, other: &Self) -> bool {
        let ends_later = match (self.until, other.until) {
            (_, None) => false,
            (None, Some(_)) => true,
            (Some(until), Some(before)) => until > before,
        };
        let is_wider = !other.destinations.is_empty()
            && (self.destinations.is_empty()
                || !self
                    .destinations
                    .iter()
                    .all(|entry| other.destinations.contains(entry)));
        ends_later || is_wider || (other.confirm && !self.confirm)
    }

    /// The conditions in words, for a person.
    pub(crate) fn in_words(&self) -> String {
        let mut words = Vec::new();
        if self.confirm {
            words.push("each use confirmed".to_owned());
        }
        if !self.destinations.is_empty() {
            words.push(format!("{} destinations only", self.destinations.len()));
        }
        match self.until.map(Moment::left) {
            Some(left) if left.is_zero() => words.push("its time is over".to_owned()),
            Some(left) => words.push(format!("for {} s", left.as_secs() + 1)),
            None => {}
        }
        if words.is_empty() {
            words.push("no condition".to_owned());
        }
        words.join(", ")
    }
}

/// The keys that were removed or have conditions, by blob. All other keys are there without conditions.
#[derive(Debug, Default)]
pub(crate) struct Standings {
    by_blob: HashMap<Vec<u8>, Standing>,
    changes: u64,
}

#[derive(Debug, Default)]
struct Standing {
    /// Kept while the key is removed and after its lifetime: new conditions are compared with them.
    terms: Terms,
    is_removed: bool,
}

impl Standings {
    /// The terms of a key; `None` if it was removed or its time is over.
    pub(crate) fn terms(&self, blob: &[u8]) -> Option<Terms> {
        match self.by_blob.get(blob) {
            None => Some(Terms::default()),
            Some(Standing { terms, is_removed }) => {
                let is_there = terms.until.is_none_or(|until| Moment::now() < until);
                (is_there && !is_removed).then(|| terms.clone())
            }
        }
    }

    /// The terms that `new` ones would loosen; `None` if they loosen nothing.
    pub(crate) fn loosened(&self, blob: &[u8], new: &Terms) -> Option<&Terms> {
        let standing = self.by_blob.get(blob)?;
        Some(&standing.terms).filter(|terms| new.is_looser_than(terms))
    }

    /// Adds a key with these conditions, which replace earlier ones.
    pub(crate) fn add(&mut self, blob: &[u8], terms: Terms) {
        let is_removed = false;
        self.by_blob
            .insert(blob.to_vec(), Standing { terms, is_removed });
        self.changes += 1;
    }

    /// Removes a key until it is added again.
    pub(crate) fn remove(&mut self, blob: &[u8]) {
        self.by_blob.entry(blob.to_vec()).or_default().is_removed = true;
        self.changes += 1;
    }

    /// A number that changes with every change.
    pub(crate) fn changes(&self) -> u64 {
        self.changes
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::protocol::{Hop, HopKey};

    fn add(standings: &mut Standings, constraints: &Constraints) {
        standings.add(b"key", Terms::new(b"key", constraints));
    }

    #[test]
    fn a_key_is_there_unless_somebody_said_otherwise() {
        let mut standings = Standings::default();
        assert!(standings.terms(b"key").is_some());
        standings.remove(b"key");
        assert!(standings.terms(b"key").is_none());
        assert!(standings.terms(b"other").is_some());
        add(&mut standings, &Constraints::default());
        assert!(standings.terms(b"key").is_some());
    }

    fn lifetime(seconds: u64) -> Constraints {
        Constraints {
            lifetime: Some(Duration::from_secs(seconds)),
            ..Constraints::default()
        }
    }

    #[test]
    fn a_lifetime_ends() {
        let mut standings = Standings::default();
        add(&mut standings, &lifetime(60));
        assert!(standings.terms(b"key").is_some());
        add(&mut standings, &lifetime(0));
        assert!(standings.terms(b"key").is_none());
    }

    fn confirmed() -> Constraints {
        Constraints {
            confirm: true,
            ..Constraints::default()
        }
    }

    fn only_to(hosts: &[&str]) -> Constraints {
        let to = |host: &&str| Destination {
            from: None,
            to: Hop {
                host: (*host).to_owned(),
                user: None,
                keys: vec![HopKey {
                    blob: host.as_bytes().to_vec(),
                    is_ca: false,
                }],
            },
        };
        Constraints {
            destinations: hosts.iter().map(to).collect(),
            ..Constraints::default()
        }
    }

    #[test]
    fn what_permits_more_is_looser_and_what_permits_less_is_not() {
        let free = Constraints::default();
        let both = Constraints {
            confirm: true,
            ..only_to(&["a"])
        };
        for (old, new, expected) in [
            (&free, &free, false),
            (&free, &confirmed(), false),
            (&free, &lifetime(1), false),
            (&free, &only_to(&["a"]), false),
            (&confirmed(), &free, true),
            (&confirmed(), &confirmed(), false),
            (&confirmed(), &lifetime(1), true),
            (&lifetime(60), &free, true),
            (&lifetime(60), &confirmed(), true),
            (&lifetime(60), &lifetime(30), false),
            (&lifetime(60), &lifetime(600), true),
            (&lifetime(0), &lifetime(60), true),
            (&only_to(&["a", "b"]), &only_to(&["a"]), false),
            (&only_to(&["a", "b"]), &only_to(&["b", "a"]), false),
            (&only_to(&["a"]), &only_to(&["a", "b"]), true),
            (&only_to(&["a"]), &only_to(&["b"]), true),
            (&only_to(&["a"]), &free, true),
            (&both, &confirmed(), true),
            (&both, &only_to(&["a"]), true),
            (&both, &both, false),
        ] {
            for removed in [false, true] {
                let mut standings = Standings::default();
                add(&mut standings, old);
                if removed {
                    standings.remove(b"key");
                }
                let new_terms = Terms::new(b"key", new);
                let is_looser = standings.loosened(b"key", &new_terms).is_some();
                assert_eq!(is_looser, expected, "{old:?} then {new:?}, {removed}");
            }
        }
        let standings = Standings::default();
        let terms = Terms::new(b"key", &free);
        assert!(standings.loosened(b"key", &terms).is_none());
    }

    #[test]
    fn what_is_no_certificate_of_the_key_is_not_listed() {
        let mut standings = Standings::default();
        let constraints = Constraints {
            certificates: vec![b"nonsense".to_vec()],
            certificates_only: true,
            ..Constraints::default()
        };
        add(&mut standings, &constraints);
        let terms = standings.terms(b"key").unwrap();
        assert_eq!(terms.listed(b"key", &[]).collect::<Vec<_>>(), [b"key"]);
    }
}
