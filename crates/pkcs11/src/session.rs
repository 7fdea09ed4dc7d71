//! Sessions and their active operations.

use std::collections::VecDeque;

use cryptoki_sys::*;

use crate::{
    error::{Error, Result},
    operation::{
        active::Active, decrypt::Decryption, digest::Digesting, encrypt::Encryption,
        sign::Signature, verify::Verification,
    },
};

pub(crate) mod login;

/// A session of a caller with a slot.
pub(crate) struct Session {
    pub(crate) slot: CK_SLOT_ID,
    pub(crate) read_write: bool,
    pub(crate) find: Option<VecDeque<CK_OBJECT_HANDLE>>,
    pub(crate) sign: Active<Signature>,
    pub(crate) verify: Active<Verification>,
    pub(crate) digest: Active<Digesting>,
    pub(crate) encrypt: Active<Encryption>,
    pub(crate) decrypt: Active<Decryption>,
}

impl Session {
    pub(crate) fn new(slot: CK_SLOT_ID, read_write: bool) -> Self {
        Self {
            slot,
            read_write,
            find: None,
            sign: Active::none(),
            verify: Active::none(),
            digest: Active::none(),
            encrypt: Active::none(),
            decrypt: Active::none(),
        }
    }

    /// Ends the operations that may use private objects, when the login for them ends.
    pub(crate) fn end_private(&mut self) {
        self.find = None;
        self.sign.cancel();
        self.decrypt.cancel();
    }

    /// The next results of a search.
    ///
    /// # Errors
    ///
    /// [`Error::OperationNotInitialized`].
    pub(crate) fn found(&mut self, max: usize) -> Result<Vec<CK_OBJECT_HANDLE>> {
        let find = self.find.as_mut().ok_or(Error::OperationNotInitialized)?;
        Ok(find.drain(..max.min(find.len())).collect())
    }
}
