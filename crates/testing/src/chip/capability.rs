//! A chip's answers to `TPM2_GetCapability`.

use std::io;

use super::{
    Chip,
    constants::{CC_GET_CAPABILITY, PT_HR_PERSISTENT, PT_HR_PERSISTENT_AVAIL, RC_VALUE, about},
    number,
    wire::{Command, Reader, Short, answer, ask, refusal, response_code},
};

/// Passes a command on to the TPM and returns its response.
pub(super) type Send<'a> = dyn FnMut(&[u8]) -> io::Result<Vec<u8>> + 'a;

const ALGORITHMS: u32 = 0;
pub(super) const HANDLES: u32 = 1;
const COMMANDS: u32 = 2;
const PROPERTIES: u32 = 6;
const CURVES: u32 = 8;

/// The length of a listed key, and of its value, in bytes.
type Layout = (usize, usize);

const HANDLE: Layout = (4, 0);

/// The answer to `TPM2_GetCapability`.
pub(super) fn answer_for(
    chip: &Chip,
    command: &Command<'_>,
    send: &mut Send<'_>,
) -> io::Result<Vec<u8>> {
    let mut reader = Reader::new(command.params);
    let mut next = || reader.u32().map_err(malformed);
    let (capability, first, count) = (next()?, next()?, next()? as usize);
    match capability {
        ALGORITHMS if chip.algorithms.is_some() => {
            let have = list(send, ALGORITHMS, 0, (2, 4))?;
            let rows = chip.algorithms.iter().flatten().map(|&algorithm| {
                let algorithm = u32::from(algorithm);
                let known = have.iter().find(|(id, _)| *id == algorithm);
                (algorithm, known.map_or(0, |(_, attributes)| *attributes))
            });
            Ok(listed(capability, rows.collect(), first, count, (2, 4)))
        }
        COMMANDS if chip.commands.is_some() => {
            let have = list(send, COMMANDS, 0x11f, HANDLE)?;
            let rows = chip.commands.iter().flatten().map(|&code| {
                let known = have
                    .iter()
                    .find(|(attributes, _)| attributes & 0xffff == code);
                (known.map_or(code, |(attributes, _)| *attributes), 0)
            });
            // The list is in the order of the command codes, which are its lower halves.
            let rows = rows.filter(|(attributes, _)| attributes & 0xffff >= first);
            Ok(listed(capability, rows.collect(), 0, count, HANDLE))
        }
        CURVES => match &chip.curves {
            None => send(command.raw),
            Some(curves) if curves.is_empty() && chip.quirks.no_curves_rc.unwrap_or(true) => {
                Ok(refusal(about(RC_VALUE, 1)))
            }
            Some(curves) => {
                let rows = curves.iter().map(|&curve| (u32::from(curve), 0));
                Ok(listed(capability, rows.collect(), first, count, (2, 0)))
            }
        },
        PROPERTIES => {
            let rows = properties(chip, send)?;
            let most = chip.quirks.properties_per_reply.unwrap_or(count);
            Ok(listed(capability, rows, first, count.min(most), (4, 4)))
        }
        _ => send(command.raw),
    }
}

fn properties(chip: &Chip, send: &mut Send<'_>) -> io::Result<Vec<(u32, u32)>> {
    let variable = list(send, PROPERTIES, 0x200, (4, 4))?;
    let mut rows: Vec<_> = if chip.properties.is_empty() {
        let fixed = list(send, PROPERTIES, 0x100, (4, 4))?;
        fixed.into_iter().filter(|(id, _)| *id < 0x200).collect()
    } else {
        let properties = chip.properties.iter();
        properties
            .filter_map(|(key, value)| Some((number(key)?, *value)))
            .collect()
    };
    let used = variable.iter().find(|(id, _)| *id == PT_HR_PERSISTENT);
    let used = used.map_or(0, |(_, value)| *value);
    rows.extend(variable);
    if let Some(slots) = chip.persistent_slots {
        let left = u32::try_from(slots)
            .unwrap_or(u32::MAX)
            .saturating_sub(used);
        for row in &mut rows {
            if row.0 == PT_HR_PERSISTENT_AVAIL {
                row.1 = left;
            }
        }
    }
    rows.sort_unstable();
    Ok(rows)
}

/// The response with up to `count` of `rows` from `first` on.
fn listed(
    capability: u32,
    rows: Vec<(u32, u32)>,
    first: u32,
    count: usize,
    (value, beside): Layout,
) -> Vec<u8> {
    let mut rows: Vec<_> = rows.into_iter().filter(|row| row.0 >= first).collect();
    let more = rows.len() > count;
    rows.truncate(count);
    let mut body = vec![u8::from(more)];
    body.extend_from_slice(&capability.to_be_bytes());
    let len = u32::try_from(rows.len()).unwrap_or(u32::MAX);
    body.extend_from_slice(&len.to_be_bytes());
    for (id, attribute) in rows {
        body.extend_from_slice(&id.to_be_bytes()[4 - value..]);
        body.extend_from_slice(&attribute.to_be_bytes()[4 - beside..]);
    }
    answer(&body)
}

/// The list of the simulator from `first` on, in one reply.
fn list(
    send: &mut Send<'_>,
    capability: u32,
    first: u32,
    (value, beside): Layout,
) -> io::Result<Vec<(u32, u32)>> {
    let body: Vec<u8> = [capability, first, 127]
        .iter()
        .flat_map(|number| number.to_be_bytes())
        .collect();
    let response = send(&ask(CC_GET_CAPABILITY, &body))?;
    if response_code(&response) != 0 {
        return Ok(Vec::new());
    }
    let read = || -> Result<Vec<(u32, u32)>, Short> {
        let mut reader = Reader::new(&response);
        reader.take(15)?;
        let wide = |bytes: &[u8]| bytes.iter().fold(0, |n, byte| n << 8 | u32::from(*byte));
        (0..reader.u32()?)
            .map(|_| Ok((wide(reader.take(value)?), wide(reader.take(beside)?))))
            .collect()
    };
    read().map_err(malformed)
}

/// The handles that the TPM lists from `first` on.
pub(super) fn handles(send: &mut Send<'_>, first: u32) -> io::Result<Vec<u32>> {
    let rows = list(send, HANDLES, first, HANDLE)?;
    Ok(rows.into_iter().map(|(handle, _)| handle).collect())
}

fn malformed(Short: Short) -> io::Error {
    io::ErrorKind::InvalidData.into()
}
