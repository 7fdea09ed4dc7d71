//! The list of revoked keys.

use ssh_format::Fingerprint;

/// The contents of a list of revoked keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revoked {
    /// The number of the list: larger than those of all lists before it.
    pub number: u64,
    /// When the list was made, in seconds since 1970.
    pub made: u64,
    /// The blobs of revoked keys, in the order in which they were revoked.
    pub keys: Vec<Vec<u8>>,
    /// The fingerprints of revoked keys that the backup lacked: nothing else is known of them.
    pub fingerprints: Vec<Fingerprint>,
}

/// What is stored of the last list of revoked keys.
#[derive(Debug, Clone, Copy)]
pub(super) struct LastList {
    pub(super) number: u64,
    pub(super) made: u64,
    /// How many keys the list has; -1 if there was no list yet.
    pub(super) had: i64,
    /// How many keys are revoked now.
    pub(super) has: i64,
}

impl LastList {
    /// Whether the next list has to be made.
    pub(super) fn is_over(self, now: u64, fresh: u64) -> bool {
        self.had != self.has || now.saturating_sub(self.made) >= fresh
    }

    pub(super) fn next(self, now: u64) -> Self {
        Self {
            number: self.number.saturating_add(1),
            made: now,
            had: self.has,
            ..self
        }
    }

    pub(super) fn with(self, keys: Vec<Vec<u8>>, fingerprints: Vec<Fingerprint>) -> Revoked {
        Revoked {
            number: self.number,
            made: self.made,
            keys,
            fingerprints,
        }
    }
}
