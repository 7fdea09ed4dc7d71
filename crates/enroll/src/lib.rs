//! The client of `tpmssh-ca`: gets SSH certificates over HTTP, and checks every answer.
//!
//! [`Server`] sends requests to the authority. [`Wanted::check`] compares a certificate with what was asked for. [`Authorities`] are the
//! authority's keys that are trusted: those that the user gave or those of the first answer, and later ones that they signed
//! ([`Authorities::successor`]). [`krl::check`] accepts a list of revoked keys only if a trusted key signed it and it is not older than the last one.
//! [`pace`] says when to renew, and when to try again.
//!
//! The crate `key-proof` has the formats of proofs, and `token-store` makes them with the TPM. This crate uses neither a TPM nor files.
#![forbid(unsafe_code)]

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

mod answer;
mod authorities;
mod error;
pub mod krl;
pub mod pace;
mod pin;
mod server;

pub use answer::{Granted, Wanted};
pub use authorities::Authorities;
pub use error::{Error, Result, TlsFault};
pub use pin::pinned_root;
pub use server::{MAX_KRL_LEN, Server, SignedKeys, SignedKrl, Url};
