//! What the agent has from the system: clocks, locks, confinement, news of sleep.

pub(crate) mod clock;
pub mod harden;
pub(crate) mod logind;
#[cfg(any(
    target_arch = "x86_64",
    target_arch = "aarch64",
    target_arch = "riscv64"
))]
mod modes;
pub(crate) mod mutex;
