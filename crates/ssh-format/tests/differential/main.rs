//! Every parser compared with the real `ssh-keygen`, on inputs that were valid before they were
//! changed.
//!
//! There are some hundred inputs of each kind; the environment variable `TPMSSH_DIFFERENTIAL` sets
//! another number (`cargo xtask differential N`). Each input depends only on its number. No input
//! may be accepted here and refused by `ssh-keygen`; STRICTER.md lists what only we refuse.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod allowed_signers;
mod certificates;
mod keygen;
mod krl;
mod secret;
mod sshsig;
mod tally;
mod tree;
