//! Random bytes from the chip.

use crate::{
    Error, Operation, Result,
    command::{Command, CommandCode, exception::Exception},
};

/// `count` random bytes from the chip's generator.
///
/// They cross the bus unencrypted: use them for salts and labels, and not for secrets.
///
/// # Errors
///
/// Failures of the chip; [`Error::Malformed`] if it returns no bytes.
pub fn bytes(op: &Operation<'_>, count: usize) -> Result<Vec<u8>> {
    let mut out = Vec::with_capacity(count);
    while out.len() < count {
        // One command returns at most as many bytes as the chip's longest digest.
        let ask = u16::try_from((count - out.len()).min(32)).unwrap_or(32);
        let command = Command::new(CommandCode::GetRandom).param_u16(ask);
        let response = op.run_unauthenticated(command, Exception::Shown)?;
        let mut reader = response.reader();
        let some = reader.sized()?;
        if some.is_empty() || some.len() > usize::from(ask) {
            return Err(Error::Malformed("random bytes"));
        }
        out.extend_from_slice(some);
    }
    Ok(out)
}
