//! What the agent has from the system: clocks, locks, confinement, news of sleep.

pub(crate) mod clock;
pub mod harden;
pub(crate) mod logind;
pub(crate) mod mutex;
