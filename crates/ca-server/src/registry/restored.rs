//! What makes a registry safe that comes from a backup.

use std::collections::BTreeSet;

use key_proof::Name;
use ssh_format::Fingerprint;

/// A revocation of a device, from the audit log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotedRevocation {
    /// The Name of the device's endorsement key.
    pub ek_name: Name,
    /// The reason that the administrator gave.
    pub reason: String,
    /// When it was revoked, in seconds since 1970.
    pub made: u64,
    /// Who revoked it, such as `uid 0`.
    pub by: String,
    /// The device's SSH keys, as far as the log has them.
    pub keys: BTreeSet<Fingerprint>,
}

/// What [`Registry::restored`](super::Registry::restored) needs from the audit log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Noted {
    /// Revocations of devices.
    pub revocations: Vec<NotedRevocation>,
    /// Keys of the authority that were retired.
    pub retired: Vec<Fingerprint>,
}

/// What [`Registry::restored`](super::Registry::restored) has changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    /// The devices that were not revoked in the backup, and are now.
    pub revoked: Vec<Name>,
    /// The keys that the backup lacks, and that are now revoked by their fingerprints.
    pub fingerprints: Vec<Fingerprint>,
    /// How many join tokens were ended.
    pub tokens: u64,
    /// The next list of revoked keys has a number above this one.
    pub krl_number: u64,
}

/// A number above those of all lists of revoked keys that were given out. `last` is the number in the backup.
///
/// Lists are made less often than once a millisecond. So the milliseconds since 1970 are above all numbers, except those after an earlier restore, which
/// added the same million.
pub(super) fn number_after_restore(last: u64, now: u64) -> u64 {
    last.max(now.saturating_mul(1000)).saturating_add(1_000_000)
}
