//! Objects that are loaded into the chip for the length of an operation.

use crate::{Name, Operation, Result};

/// An object in a transient slot of the TPM; dropping it frees the slot.
///
/// A chip has as few as three such slots.
#[derive(Debug)]
#[must_use = "the object is flushed as soon as this is dropped"]
pub(crate) struct Transient<'op> {
    op: &'op Operation<'op>,
    handle: Option<u32>,
    name: Name,
}

impl<'op> Transient<'op> {
    /// Takes over an object that the chip has just loaded.
    pub(crate) fn new(op: &'op Operation<'op>, handle: u32, name: Name) -> Self {
        Self {
            op,
            handle: Some(handle),
            name,
        }
    }

    /// Its handle.
    pub(crate) fn handle(&self) -> u32 {
        self.handle.unwrap_or_default()
    }

    /// Its Name, as the chip returned it.
    pub(crate) fn name(&self) -> &Name {
        &self.name
    }

    /// Leaves the object loaded and returns its handle.
    pub(crate) fn leave(mut self) -> u32 {
        self.handle.take().unwrap_or_default()
    }

    /// Frees the slot now.
    ///
    /// # Errors
    ///
    /// The failure of `TPM2_FlushContext`, which [`Drop`] can only log.
    pub(crate) fn flush(mut self) -> Result<()> {
        self.flush_once()
    }

    fn flush_once(&mut self) -> Result<()> {
        self.handle
            .take()
            .map_or(Ok(()), |handle| self.op.flush(handle))
    }
}

impl Drop for Transient<'_> {
    fn drop(&mut self) {
        if let Err(err) = self.flush_once() {
            log::warn!("a transient slot stays occupied: {err}");
        }
    }
}
