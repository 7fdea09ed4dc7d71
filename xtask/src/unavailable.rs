//! Steps that this machine cannot do, as against steps that fail.

use std::fmt;

/// Why a chore cannot be done on this machine: a right that is missing, or a mirror that cannot be
/// reached. [`ci`](crate::ci) says which steps it left out for that.
#[derive(Debug)]
pub(crate) struct Unavailable(pub(crate) String);

impl fmt::Display for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Unavailable {}
