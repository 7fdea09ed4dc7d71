//! A token that its security officer has opened.

use std::sync::Arc;

use tpm_core::{AuthValue, Tpm};

use crate::{Pin, Result, SoPin, Store, Token, TokenId};

/// A token whose SO PIN was right: it sets PINs and mends, and cannot use the keys.
pub struct SoToken {}

impl SoToken {
    /// Logs in as the SO. A wrong SO PIN is counted by the chip's own lockout.
    ///
    /// # Errors
    ///
    /// [`crate::Error::WrongPin`], [`crate::Error::ChipLocked`], [`crate::Error::NoSo`],
    /// [`crate::Error::OtherTpm`], and those of the TPM.
    pub fn open(store: &Store, tpm: &Arc<Tpm>, token: &Token, so: &SoPin) -> Result<Self> {
        let _ = (store, tpm, token, so);
        todo!()
    }

    /// Which token it is.
    #[must_use]
    pub fn token(&self) -> TokenId {
        todo!()
    }

    /// Sets the user PIN without the old one, and unlocks it.
    ///
    /// # Errors
    ///
    /// [`crate::Error::NoPin`] for a token without one, [`crate::Error::CounterMissing`] if
    /// there is something to [`SoToken::repair`], and those of the TPM and of the store. The
    /// old PIN is valid then.
    pub fn reset_pin(&self, store: &mut Store, new: &Pin) -> Result<()> {
        let _ = (store, new);
        todo!()
    }

    /// Changes the SO PIN.
    ///
    /// An old copy of the store still answers to the old SO PIN: the chip forgets nothing
    /// here, because it keeps nothing.
    ///
    /// # Errors
    ///
    /// Those of the TPM and of the store; the old SO PIN is valid then.
    pub fn change_so_pin(&mut self, store: &mut Store, new: &SoPin) -> Result<()> {
        let _ = (store, new);
        todo!()
    }

    /// Makes the PIN counter again where it was deleted or replaced, and sets the user PIN to
    /// `new`. The keys work again afterwards. `owner` is the owner hierarchy's authorization.
    ///
    /// # Errors
    ///
    /// [`crate::Error::NoPin`] for a token without a counter, and those of the TPM and of the
    /// store.
    pub fn repair(&self, store: &mut Store, new: &Pin, owner: &AuthValue) -> Result<()> {
        let _ = (store, new, owner);
        todo!()
    }
}
