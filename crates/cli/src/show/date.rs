//! The time now, and points in time for a person to read.

use std::time::{SystemTime, UNIX_EPOCH};

pub(crate) use ssh_format::time::in_words;

/// Seconds since 1970; 0 on a machine whose clock is before that.
pub(crate) fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}
