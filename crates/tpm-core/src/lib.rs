//! Keys that live in a TPM 2.0 and cannot leave it.
//!
//! This crate talks to the chip: it finds and opens it ([`Tcti`], [`Tpm`]), asks what it can
//! do ([`info`], [`selftest`]), takes it into ownership ([`ownership`], [`ek`], [`lockout`]),
//! finds the storage root key that everything hangs from ([`Srk`]) and holds keys below it:
//! a [`TokenKey`] guards the signing keys of one token behind a PIN, which the chip itself
//! counts in a [`PinCounter`]. It knows no files, no prompts, no SSH and no PKCS#11.
//!
//! ```no_run
//! use tpm_core::{AuthValue, KeyBlob, KeyType, Scheme, Hash, Srk, TokenKey, Tpm, Usage, Wall};
//!
//! # fn main() -> tpm_core::Result<()> {
//! let tpm = Tpm::new("device:/dev/tpmrm0".parse()?);
//! let op = tpm.begin()?;
//! let srk = Srk::find_or_create(&op, &AuthValue::empty())?;
//! let pin = AuthValue::empty();
//! let token_key = TokenKey::create(&op, &srk, Wall::None, &pin)?;
//! let blob = token_key.create_key(&op, &srk, &pin, KeyType::EccP256, Usage::SIGN)?;
//! let key = token_key.load_key(&op, &srk, &pin, &KeyBlob::parse(blob)?)?;
//! let signature = key.sign(&op, Scheme::Ecdsa, &[0x5a; 32])?;
//! # let _ = (signature, Hash::Sha256);
//! # Ok(())
//! # }
//! ```
//!
//! # How it talks
//!
//! An [`Operation`] is one uninterrupted use of the chip; every exchange in it has a
//! deadline. Secrets cross the bus only under the HMAC of a session that is salted to the
//! storage root key, whose Name the caller pinned. The types and their wire form come from
//! `tss-esapi`; the exchange itself is this crate's own, because a library that is loaded
//! into `ssh` may not print, hang, or use the host's `libcrypto` (see ARCHITECTURE.md).
//!
//! Section numbers in this crate refer to the TCG's *Trusted Platform Module Library
//! Specification*, revision 1.59, parts 1 to 3.

pub mod auth;
mod bus;
pub mod change_guard;
mod code;
mod command;
pub mod ek;
pub mod error;
mod exchange;
pub mod info;
pub mod key;
mod key_blob;
mod locked;
pub mod lockout;
pub mod name;
mod nv;
mod object;
pub mod ownership;
pub mod padding;
pub mod persistent;
pub mod pin_counter;
mod policy;
mod primary;
mod public_key;
pub mod random;
mod ready_key;
mod roca;
mod sealed;
pub mod selftest;
mod session;
mod session_crypto;
pub mod so_object;
pub mod srk;
mod tcti;
mod template;
pub mod token_key;
mod tpm;
mod transient;
mod transport;
mod unwrapped;
mod verifier;
pub mod weakness;
mod wire;

pub use auth::AuthValue;
pub use change_guard::ChangeGuard;
pub use error::{Error, ResponseCode, Result};
pub use key::{Blob, Curve, Hash, KeyType, Scheme, Signature, Usage};
pub use key_blob::KeyBlob;
pub use name::Name;
pub use pin_counter::{PinCounter, PinState, Presence};
pub use public_key::PublicKey;
pub use ready_key::ReadyKey;
pub use so_object::SoObject;
pub use srk::Srk;
pub use tcti::Tcti;
pub use token_key::{TokenKey, Wall};
pub use tpm::{Operation, Tpm};
