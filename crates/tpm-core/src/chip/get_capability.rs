//! `TPM2_GetCapability`: lists that may come in several replies.

use crate::{
    Curve, Error, Operation, Result,
    command::{Command, CommandCode, Response, exception::Exception, session::Session},
    error::rc,
    structures::{marshal::Reader, template::StorageKind},
};

/// `TPM_CAP`: what can be asked for (part 2, section 6.12).
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
    /// For a person to see: nobody authenticates the reply.
    Shown,
    /// For a decision: the session authenticates the reply.
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

/// The most that is asked for at once. A chip may return fewer and say that there are more.
const AT_ONCE: u32 = 64;

/// The values of a capability from `first` to `last`, ascending, as (value, what stands beside
/// it); read from as many replies as the chip makes of them.
///
/// # Errors
///
/// Failures of the chip; [`Error::Malformed`] for a list that does not go on.
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

/// The codes of the commands that the chip has, ascending; those of the maker's own left out.
pub(crate) fn commands(op: &Operation<'_>, asker: Asker<'_>) -> Result<Vec<u32>> {
    /// Bit 29 of a `TPMA_CC`: a command of the maker's own (part 2, section 8.9).
    const VENDOR: u32 = 1 << 29;
    let found = list(op, asker, cap::COMMANDS, (0, 0xffff), |reader| {
        let attributes = reader.u32()?;
        Ok((attributes & 0xffff, attributes & VENDOR == 0))
    })?;
    let ours = found.into_iter().filter(|(_, ours)| *ours);
    Ok(ours.map(|(code, _)| code).collect())
}

/// The numbers of the curves that the chip has; none without elliptic curves, which some chips
/// say by refusing the question.
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

/// The algorithm of storage keys that the chip can make: its elliptic curve, if it has that.
///
/// Nobody authenticates the answer; a storage key of either kind protects as well.
pub(crate) fn storage_kind(op: &Operation<'_>) -> Result<StorageKind> {
    Ok(if curves(op, Asker::Shown)?.contains(&Curve::P256.id()) {
        StorageKind::EccP256
    } else {
        StorageKind::Rsa2048
    })
}

/// The handles in use from `first` to `last`, which are of one kind.
pub(crate) fn handles(op: &Operation<'_>, first: u32, last: u32) -> Result<Vec<u32>> {
    let found = list(op, Asker::Shown, cap::HANDLES, (first, last), |reader| {
        Ok((reader.u32()?, ()))
    })?;
    Ok(found.into_iter().map(|(handle, ())| handle).collect())
}
