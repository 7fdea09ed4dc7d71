//! PIN counters that a killed program left in the chip.

use tpm_core::{AuthValue, Tpm};

use crate::{Result, Store};

/// A PIN counter in the chip that belongs to no token of this store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Orphan {
    /// Its NV handle.
    pub handle: u32,
    /// Whether it is known to come from this store: made for a token that was never finished,
    /// or left over from a deleted one. Otherwise it only looks like one of ours and may well
    /// be in another user's store.
    pub ours: bool,
}

/// Finds PIN counters without a token.
///
/// # Errors
///
/// Those of the TPM and of the store.
pub fn orphans(store: &Store, tpm: &Tpm) -> Result<Vec<Orphan>> {
    let _ = (store, tpm);
    todo!()
}

/// Removes one from the chip.
///
/// # Errors
///
/// A wrong `owner`, and those of the TPM and of the store.
pub fn remove_orphan(
    store: &mut Store,
    tpm: &Tpm,
    orphan: &Orphan,
    owner: &AuthValue,
) -> Result<()> {
    let _ = (store, tpm, orphan, owner);
    todo!()
}
