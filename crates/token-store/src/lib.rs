//! A token in a TPM: its PIN, its SO PIN and its objects, kept in one SQLite database.
//!
//! A *token* is what PKCS#11 calls one: a labelled set of keys, certificates and data behind a
//! PIN. The keys live in the chip ([`tpm_core`]); this crate keeps what the chip hands out
//! (wrapped blobs that only that chip can open), says who may use it, and survives being
//! killed at any point.
//!
//! - [`StoreDir`] is where the store is, with its owner and modes checked; [`Store`] is the
//!   open database: tokens, objects, and a counter that moves with every change.
//! - [`token::init`] makes a token; [`token::change_pin`], [`token::rename`] and
//!   [`token::delete`] are the rest of its life.
//! - [`OpenToken`] is a token that its user has logged in to: it makes keys and signs.
//!   [`SoToken`] is one that its security officer has opened: it sets PINs and mends.
//! - [`Config`] says which TPM is meant.
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
//! - Nothing in the store lets a PIN be checked without the chip, and nothing in it is a
//!   private key in any form but a TPM blob.
//! - A wrong PIN costs exactly one try, a malformed one costs none ([`Pin::new`] refuses it).
//! - No transaction of the store is open while the chip is asked for something, and each
//!   change that touches both is ordered so that a kill leaves the old state or the new one;
//!   what it can leave behind, an NV index without a token, is found by [`token::orphans`].
//! - Each key is checked when it is read ([`tpm_core::KeyBlob::parse`]); one that is not what
//!   this crate makes is hidden from [`Store::objects`] and shown by [`Store::refused`].

mod authority;
mod db;
mod error;
pub mod object;
mod pin;
mod place;
mod ssh_certificate;
pub mod token;

pub use authority::{Issued, Revocations, Revoked};
pub use db::Store;
pub use error::{Change, Error, Kind, Result};
pub use object::{Class, Key, KeyPair, KeySpec, Object, ObjectId};
pub use pin::{MAX_PIN_LEN, MIN_PIN_LEN, MIN_SO_PIN_CHARS, Pin, PinError, Role, SoPin};
pub use place::{
    SRK_RECORD, StoreDir,
    config::{self, Config},
    config_dir, home_dir, record_srk, recorded_srks, state_dir,
};
pub use ssh_certificate::{MAX_SSH_CERTIFICATES, SshCertificate, SshCertificateId};
pub use token::{MAX_TRIES, MIN_TRIES, OpenToken, SoToken, Token, TokenId, Tries, WallKind};
