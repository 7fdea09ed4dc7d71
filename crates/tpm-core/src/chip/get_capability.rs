//! `TPM2_GetCapability`: lists that may come in several replies.

use tpm_wire::Reader;

use crate::{
    Curve, Error, Operation, Result,
    command::{Command, CommandCode, Response, exception::Exception, session::Session},
    error::rc,
    structures::template::StorageKind,
};

/// `TPM_CAP`: the groups of capabilities (part 2, section 6.12).
pub(crate) mod cap {
    pub(crate) const ALGORITHMS: u32 = 0;
    pub(crate) const HANDLES: u32 = 1;
    pub(crate) const COMMANDS: u32 = 2;
    pub(crate) const PROPERTIES: u32 = 6;
    pub(crate) const CURVES: u32 = 8;
}

/// How a capability is asked for.
#[derive(Clone, Copy)]
pub(crate) enum Asker<'a> {
    /// To show to a person. The reply is not authenticated.
    Shown,
    /// To decide by. The session authenticates the reply.
    Audited(&'a Session<'a>),
}

impl Asker<'_> {
    /// Runs a command that asks for facts.
    pub(crate) fn run(self, op: &Operation<'_>, command: Command<'_>) -> Result<Response> {
        match self {
            Self::Shown => op.run_unauthenticated(command, Exception::Shown),
            Self::Audited(session) => op.run(command.session(session.plain().audit())),
        }
    }
}

/// How many values one command asks for. A chip may return fewer and say that there are more.
const AT_ONCE: u32 = 64;

/// The entries of a capability with keys from `first` to `last`, ascending, as (key, value). The
/// chip may spread them over several replies.
///
/// # Errors
///
/// Failures of the chip; [`Error::Malformed`] if a reply does not continue the list.
///
/// # Source
///
/// Part 3, section 30.2: `moreData` and the continuation from the value after the last.
fn list<T>(
    op: &Operation<'_>,
    asker: Asker<'_>,
    capability: u32,
    (first, last): (u32, u32),
    read: impl Fn(&mut Reader<'_>) -> Result<(u32, T)>,
) -> Result<Vec<(u32, T)>> {
    let mut found: Vec<(u32, T)> = Vec::new();
    let mut next = first;
    loop {
        let command = Command::new(CommandCode::GetCapability)
            .param_u32(capability)
            .param_u32(next)
            .param_u32(AT_ONCE);
        let response = asker.run(op, command)?;
        let mut reader = response.reader();
        let more = reader.u8()? != 0;
        if reader.u32()? != capability {
            return Err(Error::Malformed("capability"));
        }
        let mut end = None;
        for _ in 0..reader.u32()? {
            let value = read(&mut reader)?;
            end = Some(value.0);
            if (next..=last).contains(&value.0) {
                found.push(value);
            }
        }
        match end {
            Some(end) if more && end >= next && end < last => next = end + 1,
            Some(end) if more && end < next => return Err(Error::Malformed("capability")),
            _ => return Ok(found),
        }
    }
}

/// Properties (`TPM_PT`) of the group that begins with `first`, with their values.
pub(crate) fn properties(
    op: &Operation<'_>,
    asker: Asker<'_>,
    first: u32,
) -> Result<Vec<(u32, u32)>> {
    list(
        op,
        asker,
        cap::PROPERTIES,
        (first, first | 0xff),
        |reader| Ok((reader.u32()?, reader.u32()?)),
    )
}

/// The numbers of the algorithms that the chip has.
pub(crate) fn algorithms(op: &Operation<'_>, asker: Asker<'_>) -> Result<Vec<u16>> {
    let found = list(op, asker, cap::ALGORITHMS, (0, 0xffff), |reader| {
        let algorithm = reader.u16()?;
        let _attributes = reader.u32()?;
        Ok((u32::from(algorithm), algorithm))
    })?;
    Ok(found.into_iter().map(|(_, algorithm)| algorithm).collect())
}

/// The codes of the chip's commands, ascending, without the manufacturer's own commands.
pub(crate) fn commands(op: &Operation<'_>, asker: Asker<'_>) -> Result<Vec<u32>> {
    /// Bit 29 of a `TPMA_CC`: a manufacturer's own command (part 2, section 8.9).
    const VENDOR: u32 = 1 << 29;
    let found = list(op, asker, cap::COMMANDS, (0, 0xffff), |reader| {
        let attributes = reader.u32()?;
        Ok((attributes & 0xffff, attributes & VENDOR == 0))
    })?;
    let ours = found.into_iter().filter(|(_, ours)| *ours);
    Ok(ours.map(|(code, _)| code).collect())
}

/// The numbers of the chip's curves; empty for a chip without elliptic curves. Some of those chips
/// refuse the command.
pub(crate) fn curves(op: &Operation<'_>, asker: Asker<'_>) -> Result<Vec<u16>> {
    let found = list(op, asker, cap::CURVES, (0, 0xffff), |reader| {
        let curve = reader.u16()?;
        Ok((u32::from(curve), curve))
    });
    match found {
        Ok(found) => Ok(found.into_iter().map(|(_, curve)| curve).collect()),
        Err(err) if err.refuses_parameter(1, &[rc::VALUE, rc::TYPE, rc::CURVE]) => Ok(Vec::new()),
        Err(err) => Err(err),
    }
}

/// The algorithm for storage keys: elliptic curves if the chip has the curve for them, otherwise
/// RSA.
///
/// The answer is not authenticated. A forged one does no harm: storage keys of both kinds protect
/// equally well.
pub(crate) fn storage_kind(op: &Operation<'_>) -> Result<StorageKind> {
    Ok(if curves(op, Asker::Shown)?.contains(&Curve::P256.id()) {
        StorageKind::EccP256
    } else {
        StorageKind::Rsa2048
    })
}

/// The handles in use from `first` to `last`; both must be of one handle type (part 2, section
/// 7.2).
pub(crate) fn handles(op: &Operation<'_>, first: u32, last: u32) -> Result<Vec<u32>> {
    let found = list(op, Asker::Shown, cap::HANDLES, (first, last), |reader| {
        Ok((reader.u32()?, ()))
    })?;
    Ok(found.into_iter().map(|(handle, ())| handle).collect())
}
