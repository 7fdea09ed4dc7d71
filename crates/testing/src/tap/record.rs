//! The record of a tap, and its faults.

use std::time::Duration;

/// The length of the header of a command or response: tag, length, code.
pub(super) const HEADER: usize = 10;

/// A command and its response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exchange {
    /// The command as the client sent it.
    pub command: Vec<u8>,
    /// The response of the TPM, before any [`Fault`]; empty if there was none.
    pub response: Vec<u8>,
}

impl Exchange {
    /// The command code, `TPM_CC_…`.
    #[must_use]
    pub fn code(&self) -> u32 {
        u32_at(&self.command, 6)
    }

    /// The response code, `TPM_RC_…`; `None` if the TPM gave no response.
    #[must_use]
    pub fn response_code(&self) -> Option<u32> {
        (self.response.len() >= HEADER).then(|| u32_at(&self.response, 6))
    }
}

/// The commands that a [`Fault`] applies to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// Every command.
    Always,
    /// Every command with this code.
    Command(u32),
    /// The next command with this code, once.
    Next(u32),
    /// The nth command from now, once; 0 is the next one. FlushContext counts.
    Nth(usize),
}

/// A disturbance of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The command waits this long before it is passed on.
    Delay(Duration),
    /// The TPM gets this many bytes of the command, then both connections end.
    CutRequest(usize),
    /// The client gets this many bytes of the response, then both connections end.
    CutReply(usize),
    /// The response byte at this offset is inverted. A negative offset counts from the end.
    Garble(isize),
    /// The TPM does not get the command; the client gets this response code.
    Answer(u32),
    /// The TPM does not get the command; the client gets nothing, until it hangs up.
    Silence,
}

/// The state of a tap.
#[derive(Debug, Default)]
pub(super) struct Record {
    pub(super) exchanges: Vec<Exchange>,
    pub(super) faults: Vec<(When, Fault)>,
    pub(super) pace: Option<fn(&Exchange) -> Duration>,
    pub(super) connections: usize,
}

impl Record {
    /// The fault for the command that has just arrived.
    pub(super) fn next_fault(&mut self, code: u32) -> Option<Fault> {
        let mut hit = None;
        self.faults.retain_mut(|(when, fault)| {
            let (fits, stays) = match when {
                When::Always => (true, true),
                When::Command(wanted) => (*wanted == code, true),
                When::Next(wanted) => (*wanted == code, *wanted != code || hit.is_some()),
                When::Nth(0) => (true, false),
                When::Nth(left) => {
                    *left -= 1;
                    (false, true)
                }
            };
            if fits && hit.is_none() {
                hit = Some(*fault);
            }
            stays
        });
        hit
    }
}

/// The big-endian number at `offset` of a header.
pub(super) fn u32_at(bytes: &[u8], offset: usize) -> u32 {
    bytes[offset..offset + 4]
        .iter()
        .fold(0, |number, byte| number << 8 | u32::from(*byte))
}
