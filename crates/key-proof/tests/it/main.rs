//! Tests of each check of a proof: attacks that it stops, and proofs that pass.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod answers;
mod certificates;
mod challenges;
mod changed;
mod der;
mod factory;
mod golden;
mod kinds;
mod pair;
mod paths;
mod pem;
mod renewals;
mod requests;
mod schemes;
mod software_tpm;
mod trusted;
mod words;
