//! End to end: the built `tpmssh` and module, used as a person uses them.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod agent;
mod bad_input;
mod certs;
mod chip;
mod cli;
mod clients;
mod copy_id;
mod crowd;
mod doctor;
mod everyday;
mod files;
mod guide;
mod half_done;
mod host;
mod jobs;
mod journey;
mod kernel;
mod owner;
mod packaging;
mod program;
mod programs;
mod raw;
mod recording;
mod refusals;
mod signatures;
mod simulator;
mod soak;
mod stale;
mod strangers;
mod tampered;
mod terminal;
mod write_up;
mod x509;
mod zoo;
