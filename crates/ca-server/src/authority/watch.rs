//! The metrics of a node, and the times of its steps.

use std::cell::Cell;
use std::time::{Duration, Instant};

use super::Authority;
use crate::metrics::{Looked, Metrics};
use crate::policy::Role;
use crate::registry::Outcome;

impl Authority {
    /// The counters.
    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// Begins to measure a call of the registry.
    pub(super) fn step(&self) -> Step<'_> {
        Step {
            metrics: &self.metrics,
            begun: Instant::now(),
            signing: Cell::default(),
        }
    }

    pub(super) fn count(&self, role: &Role, outcome: &Outcome) {
        if matches!(outcome, Outcome::Issued(_)) {
            self.metrics.issued(role.kind.name(), &role.name);
        }
    }

    /// The metrics as text for Prometheus. Values that the registry does not answer now keep their last value.
    #[must_use]
    pub fn metrics_text(&self, now: u64) -> String {
        let states = || self.registry.states().ok();
        let devices = self.metrics.counts_devices().then(states).flatten();
        let krl = self.krl(now).ok().map(|krl| (krl.number, krl.made));
        self.metrics.text(Looked {
            devices,
            krl,
            now,
            ticket_key_age: now.saturating_sub(self.in_force().tickets_since),
        })
    }
}

/// The times of one call of the registry, and of the signature within it.
pub(super) struct Step<'a> {
    metrics: &'a Metrics,
    begun: Instant,
    signing: Cell<Duration>,
}

impl Step<'_> {
    /// Signs, and records how long that takes.
    pub(super) fn sign<T>(&self, sign: impl FnOnce() -> T) -> T {
        let begun = Instant::now();
        let done = sign();
        self.signing.set(begun.elapsed());
        self.metrics.took("sign", begun.elapsed());
        done
    }

    /// Records the time of the registry without that of the signature.
    pub(super) fn end(self) {
        let registry = self.begun.elapsed().saturating_sub(self.signing.get());
        self.metrics.took("db", registry);
    }
}
