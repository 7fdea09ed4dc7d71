//! Running a command over a connection: retries, errors, and slots that crashed programs left
//! occupied.

use std::{
    thread,
    time::{Duration, Instant},
};

use tpm_wire::Reader;

use crate::{
    Error, ResponseCode, Result,
    command::{Command, CommandCode, NO_SESSIONS, Response, SESSIONS},
    error::rc,
    transport::exchange::{Deadline, Transport},
};

/// The pauses, in milliseconds, before a command goes again to a resource manager that found no room
/// for an object in the chip.
const ROOM_SOON: [u64; 6] = [5, 10, 20, 40, 80, 160];

/// A connection, and the slots that it occupies in a bare chip.
pub(crate) struct Connection {
    transport: Box<dyn Transport>,
    owned: Vec<u32>,
}

impl Connection {
    /// Wraps a new connection.
    pub(crate) fn new(transport: Box<dyn Transport>) -> Self {
        Self {
            transport,
            owned: Vec::new(),
        }
    }

    /// Whether it is still open, checked without sending anything.
    pub(crate) fn is_alive(&self) -> bool {
        self.transport.is_alive()
    }

    /// Closes this process' copy of a connection that the parent process still uses.
    pub(crate) fn abandon(self) {
        self.transport.abandon();
    }

    /// Runs `command` before `deadline`.
    ///
    /// If the chip is full and `bare` says that nobody else uses it, flushes the objects and
    /// sessions that a crashed program left, then tries again. A resource manager makes room by
    /// itself, but may be late while others use the chip: that is waited for.
    pub(crate) fn run<A>(
        &mut self,
        command: &Command<'_, A>,
        deadline: Deadline,
        bare: bool,
    ) -> Result<Response> {
        let mut result = self.run_once(command, deadline);
        if bare {
            if matches!(result, Err(Error::Full)) && self.flush_strays(deadline)? > 0 {
                result = self.run_once(command, deadline);
            }
            return result;
        }
        for pause in ROOM_SOON {
            if !matches!(result, Err(Error::Full)) {
                break;
            }
            thread::sleep(Duration::from_millis(pause));
            result = self.run_once(command, deadline);
        }
        result
    }

    fn run_once<A>(&mut self, command: &Command<'_, A>, deadline: Deadline) -> Result<Response> {
        let bytes = command.encode()?;
        self.exchange(command, &bytes, deadline)
    }

    fn exchange<A>(
        &mut self,
        command: &Command<'_, A>,
        bytes: &[u8],
        deadline: Deadline,
    ) -> Result<Response> {
        let mut pause = Duration::from_millis(1);
        let mut asked_for_patience = None;
        loop {
            let response = self.transact(command, bytes, deadline).map_err(|err| {
                match (err, asked_for_patience) {
                    // The chip did answer, but each time to try again later.
                    (Error::Timeout { .. }, Some(rc)) => Error::NotReady(rc),
                    (err, _) => err,
                }
            })?;
            let code = response_code(&response)?;
            match code {
                0 => {
                    let response = command.decode(&response)?;
                    self.track(command, &response);
                    return Ok(response);
                }
                // The chip has not looked at the command yet, so nonces are unchanged.
                rc::RETRY | rc::YIELDED | rc::TESTING | rc::NV_RATE => {
                    let rc = ResponseCode(code);
                    asked_for_patience = Some(rc);
                    let left = deadline.left().map_err(|_| Error::NotReady(rc))?;
                    thread::sleep(pause.min(left));
                    pause = (pause * 2).min(Duration::from_millis(250));
                }
                code if refuses_session(command, code) => {
                    return Err(Error::ReplyForged {
                        command: command.code(),
                    });
                }
                code => {
                    return Err(Error::from_rc(command.code(), command.entity(), code));
                }
            }
        }
    }

    /// Sends `command`, whose bytes are `bytes`, does its work of the meantime, and returns the
    /// response.
    fn transact<A>(
        &mut self,
        command: &Command<'_, A>,
        bytes: &[u8],
        deadline: Deadline,
    ) -> Result<Vec<u8>> {
        self.transport.send(bytes, deadline)?;
        let begun = Instant::now();
        command.work();
        // The chip may take as long as without that work.
        self.transport.receive(deadline.postponed(begun.elapsed()))
    }

    /// Notes which slots this connection occupies or frees.
    fn track<A>(&mut self, command: &Command<'_, A>, response: &Response) {
        if command.code().returns_handle() {
            self.owned.push(response.handle);
        } else if command.code() == CommandCode::FlushContext {
            self.owned
                .retain(|handle| handle.to_be_bytes() != *command.params());
        }
        for session in command.uses().filter(|session| session.has_ended()) {
            self.owned.retain(|&handle| handle != session.handle());
        }
    }

    /// Frees the slots that this connection does not occupy, and returns their number.
    fn flush_strays(&mut self, deadline: Deadline) -> Result<usize> {
        let mut flushed = 0;
        // TPM_CAP_HANDLES: loaded sessions, transient objects.
        for first in [0x0200_0000, 0x8000_0000] {
            let ask = Command::new(CommandCode::GetCapability)
                .param_u32(1)
                .param_u32(first)
                .param_u32(64);
            let response = self.run_once(&ask, deadline)?;
            let mut reader = response.reader();
            reader.take(5)?;
            for _ in 0..reader.u32()? {
                let handle = reader.u32()?;
                if !self.owned.contains(&handle) {
                    let flush = Command::new(CommandCode::FlushContext).param_u32(handle);
                    self.run_once(&flush, deadline)?;
                    flushed += 1;
                }
            }
        }
        log::info!("flushed {flushed} objects that a crashed program left in the TPM");
        Ok(flushed)
    }
}

/// Whether the chip does not know the key of one of the command's sessions. Then the chip does not
/// hold the storage root key that the session was salted to, or the command was changed on its way.
///
/// A format-one code about a session has bit 11 set and its number, from 1 on, in bits 8 to 10
/// (part 2, section 6.6.2).
fn refuses_session<A>(command: &Command<'_, A>, code: u32) -> bool {
    let is_auth = [rc::AUTH_FAIL, rc::BAD_AUTH].contains(&ResponseCode(code).base());
    let is_session = code & 0x800 != 0;
    is_auth && is_session && command.is_plain_session((code >> 8 & 7) as usize)
}

fn response_code(response: &[u8]) -> Result<u32> {
    let mut reader = Reader::new(response, "response header");
    let tag = reader.u16()?;
    reader.u32()?;
    // 0x00c4 is the tag of an error from a TPM 1.2 (`TPM_TAG_RSP_COMMAND`).
    match tag {
        NO_SESSIONS | SESSIONS => Ok(reader.u32()?),
        0x00c4 => Err(Error::Tpm12),
        _ => Err(Error::Malformed("response tag")),
    }
}
