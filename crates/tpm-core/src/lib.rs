//! Keys that are made in a TPM 2.0 and cannot leave it.
//!
//! This crate opens the chip ([`Tcti`], [`Tpm`]), reads its capabilities and state ([`info`],
//! [`Capabilities`], [`selftest`]), takes ownership of it ([`ownership`], [`ek`], [`lockout`]),
//! finds the storage root key that all other keys are below ([`Srk`]), and makes and uses keys. A
//! [`TokenKey`] protects the signing keys of one token by a PIN. The chip itself counts wrong PINs,
//! in a [`PinCounter`]. This crate knows no files, no prompts, no SSH and no PKCS#11.
//!
//! A key behind a PIN that the chip counts:
//!
//! ```no_run
//! use tpm_core::{
//!     ChangeGuard, Error, GuardAuth, KeyBlob, KeyType, OwnerAuth, PinAuth, PinCounter, Scheme,
//!     SoAuth, SoObject, Srk, TokenKey, Tpm, Usage,
//! };
//!
//! # fn main() -> tpm_core::Result<()> {
//! let tpm = Tpm::new("device:/dev/tpmrm0".parse()?);
//! let op = tpm.begin()?;
//! let owner = OwnerAuth::empty(); // as in a new chip
//! let srk = Srk::find_or_create(&op, &owner)?;
//! let root = srk.open(&op)?;
//!
//! // Who may reset the counter and change the PIN. Real programs derive the values of both PINs
//! // with a slow hash.
//! let (so_pin, pin, secret) = (SoAuth::random(), PinAuth::random(), GuardAuth::random());
//! let so = SoObject::create(&root, &so_pin, &secret)?;
//! let guard = ChangeGuard::create(&root, &secret)?;
//! let counter = PinCounter::from_parts(PinCounter::pick_handle(&op)?, so.name(), guard.name());
//! counter.define(&root, &owner, &so, &so_pin, &pin, 5)?;
//!
//! let token_key = TokenKey::behind_counter(&root, counter.clone())?;
//! let blob = token_key.create_key(&root, &pin, KeyType::EccP256, Usage::SIGN)?;
//! let key = token_key.load_key(&root, &pin, &KeyBlob::parse(blob.clone())?)?;
//! let digest = [0x5a; 32];
//! let signature = key.sign(&op, Scheme::Ecdsa, &digest)?;
//! assert!(key.public().verify(Scheme::Ecdsa, &digest, &signature));
//!
//! // A wrong PIN is refused and costs one of the five tries. The right one gives them back.
//! let wrong = token_key.load_key(&root, &PinAuth::random(), &KeyBlob::parse(blob)?);
//! assert!(matches!(wrong, Err(Error::AuthRejected { .. })));
//! assert_eq!(counter.state(&root)?.left(), 4);
//! # Ok(())
//! # }
//! ```
//!
//! The directory `examples/` has this as a whole program, and others. Between two runs a program
//! stores bytes: [`Srk::to_bytes`], and the [`Blob`]s of the SO object, the change guard, the token
//! key and the signing keys. They are useless without the chip.
//!
//! # How it talks
//!
//! An [`Operation`] is one uninterrupted use of the chip, by one thread; every exchange in it has a
//! deadline. An [`OpenSrk`] is the storage root key in one operation. No secret crosses the bus
//! unencrypted: it is the key of an HMAC, or it is encrypted, in a session that is salted to the
//! storage root key, whose Name the caller pinned. The types and their wire form come from
//! `tss-esapi`; the exchange itself is this crate's own, because a library that is loaded into
//! `ssh` may not print, hang, or use the host's `libcrypto` (see ARCHITECTURE.md).
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
pub use object::{
    attestation_key::{AttestationKey, Certified, ChallengeAnswer, Credential},
    key_blob::{KeyBlob, Origin},
    ready_key::ReadyKey,
    sealed_data::SealedData,
    software_key::{RsaNumbers, SoftwareKey},
};
pub use secret::{
    Locked,
    auth::AuthValue,
    auth_kinds::{EndorsementAuth, GuardAuth, LockoutAuth, OwnerAuth, PinAuth, SoAuth},
};
pub use software::padding;
pub use structures::{
    command_code::CommandCode,
    entity::Entity,
    kinds::{Blob, Curve, Hash, KeyType, Pss, Scheme, Signature, Usage},
    name::Name,
    public_key::PublicKey,
    response_code::ResponseCode,
};
pub use token::{
    arrival_key::ArrivalKey,
    change_guard::ChangeGuard,
    pin_counter::{PinCounter, PinState, Presence},
    so_object::SoObject,
    token_key::{Login, TokenKey},
    wall::Wall,
};
pub use tpm::{Operation, Silence, Tpm, Waiting};
pub use transport::tcti::Tcti;
