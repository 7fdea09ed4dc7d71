//! Changing the user PIN, and looking at the tries left.

use tpm_core::Tpm;

use super::{Token, Tries};
use crate::{Pin, Result, Store};

/// Changes the user PIN; a wrong `old` costs one try. No key is touched.
///
/// # Errors
///
/// [`crate::Error::WrongPin`], [`crate::Error::PinLocked`], [`crate::Error::NoPin`] for a
/// token without one, and those of the TPM and of the store. The old PIN is valid then.
pub fn change_pin(store: &mut Store, tpm: &Tpm, token: &Token, old: &Pin, new: &Pin) -> Result<()> {
    let _ = (store, tpm, token, old, new);
    todo!()
}

/// Asks the chip how many wrong user PINs it still takes, spending none and needing no
/// secret; `None` for a token without a PIN. The store remembers the answer if it can.
///
/// # Errors
///
/// Those of the TPM.
pub fn refresh_tries(store: &Store, tpm: &Tpm, token: &Token) -> Result<Option<Tries>> {
    let _ = (store, tpm, token);
    todo!()
}
