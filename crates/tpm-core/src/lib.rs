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
#![forbid(unsafe_code)]

mod chip;
mod command;
mod error;
mod hierarchy;
mod object;
mod secret;
mod software;
mod structures;
mod token;
mod tpm;
mod transport;
mod turn;

pub use chip::{capabilities::Capabilities, facts, info, random, selftest, weakness};
pub use error::{Error, Result};
pub use hierarchy::{
    ek, lockout, ownership, persistent,
    srk::{Srk, fitness::Unfit, open::OpenSrk},
};
pub use object::{key_blob::KeyBlob, ready_key::ReadyKey};
pub use secret::{
    auth::AuthValue,
    auth_kinds::{EndorsementAuth, GuardAuth, LockoutAuth, OwnerAuth, PinAuth, SoAuth},
};
pub use software::padding;
pub use structures::{
    command_code::CommandCode,
    entity::Entity,
    kinds::{Blob, Curve, Hash, KeyType, Scheme, Signature, Usage},
    name::Name,
    public_key::PublicKey,
    response_code::ResponseCode,
};
pub use token::{
    change_guard::ChangeGuard,
    pin_counter::{PinCounter, PinState, Presence},
    so_object::SoObject,
    token_key::TokenKey,
    wall::Wall,
};
pub use tpm::{Operation, Tpm, Waiting};
pub use transport::tcti::Tcti;
