//! Deleting a token.

use tpm_core::{AuthValue, Tpm};

use super::Token;
use crate::{Result, Store};

/// Deletes a token, its objects and its PIN counter. Its keys are then gone for ever.
///
/// `owner` is the owner hierarchy's authorization, which removes the counter.
///
/// # Errors
///
/// [`crate::Error::OtherTpm`] if the token is not of this TPM ([`forget`] removes it anyway);
/// the token is then as it was. A wrong `owner` leaves it as it was, too.
pub fn delete(store: &mut Store, tpm: &Tpm, token: &Token, owner: &AuthValue) -> Result<()> {
    let _ = (store, tpm, token, owner);
    todo!()
}

/// Removes a token and its objects from the store alone, for tokens whose TPM is gone or was
/// cleared. A PIN counter stays in that TPM, if it still exists.
///
/// # Errors
///
/// Those of the store; the token is then as it was.
pub fn forget(store: &mut Store, token: &Token) -> Result<()> {
    let _ = (store, token);
    todo!()
}
