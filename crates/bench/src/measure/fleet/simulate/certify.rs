//! Who certifies the hosts that a node lets in.

use anyhow::Result;

use super::LIFE;

/// A host that gets a certificate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Turn {
    pub(super) host: u32,
    /// In seconds since 1970.
    pub(super) now: u64,
}

/// What a host reads in the answer, in seconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Granted {
    pub(super) valid_before: u64,
    pub(super) renew_after: u64,
}

/// The authority behind the node's door. The answers are in the order of the hosts.
pub(super) trait Certify {
    /// First certificates.
    fn enrol(&mut self, turns: &[Turn]) -> Result<Vec<Granted>>;

    /// Further ones.
    fn renew(&mut self, turns: &[Turn]) -> Result<Vec<Granted>>;
}

/// No authority at all: it is assumed that each host gets a certificate for a day.
pub(super) struct Assumed;

impl Assumed {
    pub(super) fn at(now: u64) -> Granted {
        Granted {
            valid_before: now + LIFE,
            renew_after: now + LIFE / 2,
        }
    }
}

impl Certify for Assumed {
    fn enrol(&mut self, turns: &[Turn]) -> Result<Vec<Granted>> {
        Ok(turns.iter().map(|turn| Self::at(turn.now)).collect())
    }

    fn renew(&mut self, turns: &[Turn]) -> Result<Vec<Granted>> {
        self.enrol(turns)
    }
}
