//! Objects that are loaded into the chip for one operation.

use crate::{Name, Operation, Result};

/// An object in a transient slot of the TPM; dropping it frees the slot.
///
/// A chip has as few as three such slots.
#[derive(Debug)]
#[must_use = "the object is flushed as soon as this is dropped"]
pub(crate) struct Transient<'op> {
    op: &'op Operation<'op>,
    handle: u32,
    name: Name,
    is_loaded: bool,
}

impl<'op> Transient<'op> {
    /// Takes over an object that the chip has just loaded, and whose Name was checked.
    pub(crate) fn new(op: &'op Operation<'op>, handle: u32, name: Name) -> Self {
        Self {
            op,
            handle,
            name,
            is_loaded: true,
        }
    }

    /// Its handle.
    pub(crate) fn handle(&self) -> u32 {
        self.handle
    }

    /// Its Name.
    pub(crate) fn name(&self) -> &Name {
        &self.name
    }

    /// Leaves the object loaded and returns its handle.
    pub(crate) fn leave(mut self) -> u32 {
        self.is_loaded = false;
        self.handle
    }

    /// Frees the slot now.
    ///
    /// # Errors
    ///
    /// The failure of `TPM2_FlushContext`, which [`Drop`] can only log.
    pub(crate) fn flush(mut self) -> Result<()> {
        self.is_loaded = false;
        self.op.flush(self.handle)
    }
}

impl Drop for Transient<'_> {
    fn drop(&mut self) {
        if self.is_loaded
            && let Err(err) = self.op.flush(self.handle)
        {
            log::warn!("a transient slot stays occupied: {err}");
        }
    }
}
