//! The properties of a chip as numbers, for reports.

use crate::{
    Operation, Result,
    chip::get_capability::{Asker, commands, properties},
};

/// The raw properties that a chip reports about its model and its state.
///
/// It holds nothing that identifies one chip among those of its model: no endorsement key, no
/// serial number, no Names.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Facts {
    /// The fixed properties (`TPM_PT`, part 2, section 6.13) with their values, ascending.
    pub fixed: Vec<(u32, u32)>,
    /// The variable properties with their values, ascending.
    pub variable: Vec<(u32, u32)>,
    /// The codes of its commands (`TPM_CC`), ascending.
    pub commands: Vec<u32>,
}

/// Asks the chip, in three commands if no list needs a second reply.
///
/// # Errors
///
/// Failures of the chip.
pub fn read(op: &Operation<'_>) -> Result<Facts> {
    Ok(Facts {
        fixed: properties(op, Asker::Shown, 0x100)?,
        variable: properties(op, Asker::Shown, 0x200)?,
        commands: commands(op, Asker::Shown)?,
    })
}
