//! The client of `tpmssh-ca`: gets SSH certificates over HTTP, and believes nothing that it does not check.
//!
//! [`Server`] speaks to the authority. [`Wanted::check`] holds an answer against what was asked for, and [`Authorities`] are the keys that are
//! believed: those that the user gave or those of the first answer, and those that follow them ([`Authorities::successor`]).
//! [`krl::check`] takes a list of revoked keys only if they signed it and it is newer than the last. [`pace`] says when to come again.
//!
//! What proves the key is in the crate `key-proof`, and what the TPM has to say for it in `token-store`; this crate has neither a TPM nor files.
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
