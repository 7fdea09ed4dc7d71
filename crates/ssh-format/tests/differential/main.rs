//! Every parser held against the real `ssh-keygen`, with inputs that were good before they were
//! changed.
//!
//! There are some hundred inputs of each kind, and as many as the environment variable
//! `TPMSSH_DIFFERENTIAL` says: `cargo xtask differential N`. What is made depends on the number of
//! the input alone. No input may be accepted here and refused there; what is the other way round
//! is in STRICTER.md.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod allowed_signers;
mod certificates;
mod keygen;
mod krl;
mod secret;
mod sshsig;
mod tally;
mod tree;
