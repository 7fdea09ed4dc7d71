//! The rules in force, which can be replaced while the node runs.

use std::sync::{Arc, PoisonError};

use key_proof::TicketKey;

use super::kept::Kept;
use super::{Authority, SignedKrl};
use crate::policy::Policy;

/// What a node reads from its files, when it starts and at a reload.
#[derive(Debug, Clone)]
pub struct Rules {
    /// The policy.
    pub policy: Policy,
    /// The keys that seal challenges, at least one. The first one seals, and all of them can open.
    pub tickets: Vec<TicketKey>,
    /// When these keys were made, in seconds since 1970.
    pub tickets_since: u64,
}

/// The rules for a request from its beginning to its end, and the cached answers that depend on them.
pub(super) struct InForce {
    pub(super) policy: Arc<Policy>,
    pub(super) tickets: Vec<TicketKey>,
    pub(super) tickets_since: u64,
    pub(super) krl: Kept<Arc<SignedKrl>>,
    /// The cached answer to `ca-keys`.
    pub(super) ca_keys: Kept<Arc<super::keys::Made>>,
}

impl InForce {
    pub(super) fn new(rules: Rules) -> Self {
        Self {
            policy: Arc::new(rules.policy),
            tickets: rules.tickets,
            tickets_since: rules.tickets_since,
            krl: Kept::new(),
            ca_keys: Kept::new(),
        }
    }
}

impl Authority {
    /// The policy that is in force now.
    #[must_use]
    pub fn policy(&self) -> Arc<Policy> {
        Arc::clone(&self.in_force().policy)
    }

    /// The rules for one request, which keeps them until it is answered.
    pub(super) fn in_force(&self) -> Arc<InForce> {
        let now = self.in_force.read();
        Arc::clone(&now.unwrap_or_else(PoisonError::into_inner))
    }

    /// Replaces the rules for requests that begin from now on.
    pub(crate) fn replace(&self, rules: Rules) {
        let new = Arc::new(InForce::new(rules));
        *self
            .in_force
            .write()
            .unwrap_or_else(PoisonError::into_inner) = new;
    }
}
