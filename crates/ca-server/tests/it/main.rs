//! Tests of the program `tpmssh-ca`, over HTTP and on the command line.
//!
//! The machines use the software TPM of `key-proof`'s tests, which makes attacks easy and fast.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod busy;
mod cluster;
mod commands;
#[path = "../../../key-proof/tests/it/der.rs"]
#[allow(dead_code, reason = "shared with the tests of key-proof")]
mod der;
mod enrolment;
mod faults;
mod flood;
mod identity;
mod jwks;
mod keys;
mod limits;
mod metrics;
mod names;
mod node;
mod oidc;
#[path = "../../../key-proof/tests/it/pair.rs"]
#[allow(dead_code, reason = "shared with the tests of key-proof")]
mod pair;
mod ready;
mod registry;
mod reload;
mod renewal;
mod restored;
mod revocation;
#[path = "../../../key-proof/tests/it/software_tpm.rs"]
#[allow(dead_code, reason = "shared with the tests of key-proof")]
mod software_tpm;
mod stricter;
mod tls;
