//! The public API against a private swtpm.

mod attestation;
mod chips;
mod examples;
mod faults;
mod impostor;
mod keys;
mod limits;
mod login;
mod managed;
mod moving_in;
mod ownership;
mod pins;
mod sealed_data;
mod theft;
mod token;

use tpm_core::AuthValue;

type TestResult = Result<(), Box<dyn std::error::Error>>;

/// The empty authorization value, of whatever kind is asked for.
fn empty<A: From<AuthValue>>() -> A {
    AuthValue::empty().into()
}
