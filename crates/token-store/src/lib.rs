//! Tokens in a TPM: their PINs, SO PINs and objects, stored in one SQLite database.
//!
//! A *token* is that of PKCS#11: a set of keys, certificates and data with a label and a PIN. The
//! chip ([`tpm_core`]) makes and uses the keys. This crate stores their blobs, which only that chip
//! can decrypt, checks PINs by means of the chip, and keeps a consistent state if it is killed at
//! any point.
//!
//! - [`StoreDir`] is where the store is, with its owner and modes checked; [`Store`] is the
//!   open database: tokens, objects, and a counter that moves with every change.
//! - [`token::init`] makes a token; [`token::change_pin`], [`token::rename`] and
//!   [`token::delete`] are the rest of its life.
//! - [`OpenToken`] is a token after the user's login: it makes keys and signs. [`SoToken`] is a
//!   token after the security officer's login: it sets PINs and repairs.
//! - [`Config`] is the configuration file, which names the TPM to use.
//!
//! ```no_run
//! use std::sync::Arc;
//!
//! use token_store::{Config, KeySpec, OpenToken, Pin, Store, StoreDir, token};
//! use tpm_core::{OwnerAuth, Hash, KeyType, Scheme, Tpm};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let tpm = Arc::new(Tpm::new(Config::load()?.tcti(None)?.tcti));
//! let mut store = Store::open_or_create(&StoreDir::for_user()?)?;
//! let pin = Pin::new(b"correct horse")?;
//! let options = token::InitOptions::new("work laptop");
//! let token = token::init(&mut store, &tpm, &options, None, Some(&pin), &OwnerAuth::empty())?.token;
//!
//! let open = OpenToken::open(&store, &tpm, &token, Some(&pin))?;
//! let pair = open.generate(&mut store, &KeySpec::new(KeyType::EccP256, "me@host"))?;
//! let key = pair.private.key().ok_or("a private key has a key")?;
//! let signature = open.sign(key, Scheme::Ecdsa, &[0x5a; 32])?;
//! # let _ = (signature, Hash::Sha256);
//! # Ok(())
//! # }
//! ```
//!
//! # What holds
//!
//! - A PIN cannot be checked with the store alone, without the chip. The store has private keys
//!   only as TPM blobs.
//! - A wrong PIN costs exactly one try. A malformed one costs none ([`Pin::new`] refuses it).
//! - No transaction of the store is open while the chip works. A change of both the store and the
//!   chip is ordered so that a kill leaves the old state or the new one. It can also leave an NV
//!   index without a token, which [`token::orphans`] finds.
//! - Each key is checked when it is read ([`tpm_core::KeyBlob::parse`]). A key that differs from
//!   those that this crate makes is left out of [`Store::objects`] and is in [`Store::refused`].

pub mod attestation;
mod authority;
mod db;
mod enrolment;
mod error;
pub mod object;
mod pin;
mod place;
mod ssh_certificate;
pub mod token;

pub use authority::{Issued, Revocations, Revoked, Withdrawn};
pub use db::Store;
pub use enrolment::{Enrolment, EnrolmentId, Terms, Trust};
pub use error::{Change, Error, Kind, Result};
pub use object::{
    key::Key,
    key_spec::{KeyPair, KeySpec},
    stored::{Class, Object, ObjectId},
};
pub use pin::{MAX_PIN_LEN, MIN_PIN_LEN, MIN_SO_PIN_CHARS, Pin, PinError, Role, SoPin, SoPinFile};
pub use place::{
    SRK_RECORD, StoreDir,
    config::{self, file::Config},
    config_dir, home_dir, record_srk, recorded_srks, state_dir,
};
pub use ssh_certificate::{MAX_SSH_CERTIFICATES, SshCertificate, SshCertificateId};
pub use token::{
    data::{MAX_TRIES, MIN_TRIES, Token, TokenId, Tries, WallKind},
    open_token::OpenToken,
    so_token::SoToken,
};
