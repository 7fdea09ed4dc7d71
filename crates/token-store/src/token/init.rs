//! Making a token.

use tpm_core::{AuthValue, Tpm};

use super::{DEFAULT_TRIES, Token, WallKind};
use crate::{Pin, Result, SoPin, Store};

/// What a new token is to be like.
#[derive(Debug, Clone)]
pub struct InitOptions {
    /// Its label; 1 to 32 bytes.
    pub label: String,
    /// What guards its keys. `None` takes a PIN counter where the chip can have one and falls
    /// back to the chip's lockout, see [`Initialized::fallback`].
    pub wall: Option<WallKind>,
    /// How many wrong PINs a PIN counter takes before it locks.
    pub max_tries: u32,
}

impl InitOptions {
    /// The defaults: a PIN counter where possible, and [`DEFAULT_TRIES`].
    #[must_use]
    pub fn new(label: impl Into<String>) -> Self {
        Self {
            label: label.into(),
            wall: None,
            max_tries: DEFAULT_TRIES,
        }
    }
}

/// Why a token has no PIN counter although none of its makers asked for anything else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Fallback {
    /// The chip does not have PIN counters.
    #[error("this TPM has no PIN counters")]
    NotSupported,
    /// The chip has no room for another NV index.
    #[error("this TPM has no room for another PIN counter")]
    NoSpace,
    /// The owner hierarchy has a password and it was not given.
    #[error("the owner password of this TPM is needed to make a PIN counter")]
    OwnerAuth,
}

/// A new token.
#[derive(Debug, Clone)]
pub struct Initialized {
    /// The token.
    pub token: Token,
    /// Why it is guarded by the chip's lockout and not by a counter of its own, if so.
    pub fallback: Option<Fallback>,
}

/// Makes a token.
///
/// `pin` may be absent: then the SO sets it later ([`crate::SoToken::reset_pin`]), as
/// `C_InitToken` and `C_InitPIN` do. `so` may be absent: then nobody can ever reset the PIN.
/// With [`WallKind::None`] a `pin` is refused. `owner` is the owner hierarchy's authorization,
/// needed for a PIN counter and for making the storage root key where there is none.
///
/// # Errors
///
/// Those of the label and the number of tries, of the TPM and of the store. Nothing is left
/// in the store then, and nothing in the chip unless it broke off in the middle
/// ([`super::orphans`]).
pub fn init(
    store: &mut Store,
    tpm: &Tpm,
    options: &InitOptions,
    so: Option<&SoPin>,
    pin: Option<&Pin>,
    owner: &AuthValue,
) -> Result<Initialized> {
    let _ = (store, tpm, options, so, pin, owner);
    todo!()
}

/// Makes a token anew, as `C_InitToken` does with one that exists: the SO proves the SO PIN,
/// every object and the user PIN are gone, and serial number, SO PIN and wall stay.
///
/// # Errors
///
/// [`crate::Error::WrongPin`] and those of [`init`]; the token is then as it was.
pub fn reinit(
    store: &mut Store,
    tpm: &Tpm,
    token: &Token,
    label: &str,
    so: &SoPin,
) -> Result<Token> {
    let _ = (store, tpm, token, label, so);
    todo!()
}
