//! `libtpmssh_pkcs11.so`: the PKCS#11 module that `ssh`, browsers and TLS libraries load.
//!
//! Everything public (slots, tokens, public keys, certificates, lengths) comes from the store
//! and costs no TPM command. The only unsafe code is in [`ffi`]; the rest is the standard's
//! chapters in safe Rust: `slot`, `session`, `object`, `operation`, `keys`.
//!
//! The module keeps its state behind one lock. No thread holds it while the chip signs or makes a
//! key. It starts no threads, leaves the signals, environment and standard output of the
//! process alone, and turns a panic into `CKR_GENERAL_ERROR`.
//!
//! # Source
//!
//! OASIS PKCS#11 Cryptographic Token Interface Base Specification, version 3.0.

mod answer;
mod der;
mod error;
pub mod ffi;
#[cfg(fuzzing)]
pub mod fuzzing;
mod keys;
mod mechanism;
mod module;
mod object;
mod operation;
mod process;
mod random;
mod report;
mod session;
mod slot;
