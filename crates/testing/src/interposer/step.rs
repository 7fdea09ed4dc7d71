//! One command on its way to the TPM.

use std::{
    fmt,
    io::{self, Write},
    net::TcpStream,
};

use super::message::Message;
use crate::tap::frame;

/// A command that has arrived, and a line to the TPM.
///
/// All commands are sent over the connection of the client, because a swtpm serves one connection
/// at a time. The TPM cannot tell them apart.
#[derive(Debug)]
pub struct Step<'a> {
    /// The command of the client. It may be changed: [`Action::Pass`] sends it in its present form.
    pub command: Message,
    index: usize,
    tpm: &'a TcpStream,
}

impl<'a> Step<'a> {
    pub(crate) fn new(command: &[u8], index: usize, tpm: &'a TcpStream) -> Self {
        Self {
            command: Message::parse_command(command),
            index,
            tpm,
        }
    }

    /// The number of this command since the interposer was set, from 0.
    #[must_use]
    pub fn index(&self) -> usize {
        self.index
    }

    /// Sends [`command`](Self::command) to the TPM, and returns the response.
    ///
    /// # Errors
    ///
    /// If the TPM hangs up.
    pub fn pass(&self) -> io::Result<Message> {
        self.send(&self.command)
    }

    /// Sends another command to the TPM, and returns the response.
    ///
    /// # Errors
    ///
    /// If the TPM hangs up.
    pub fn send(&self, command: &Message) -> io::Result<Message> {
        let mut tpm = self.tpm;
        tpm.write_all(&command.bytes())?;
        Ok(Message::parse_reply(command, &frame(tpm)?))
    }
}

/// The response that the client gets.
#[derive(Debug)]
pub enum Action {
    /// The TPM's response to [`Step::command`].
    Pass,
    /// This response.
    Reply(Message),
    /// None: the connection is closed.
    HangUp,
}

/// Decides what becomes of a command.
type Decide = dyn FnMut(&mut Step<'_>) -> io::Result<Action> + Send;

/// The closure of a tap that handles each command.
pub(crate) struct Interposer {
    decide: Box<Decide>,
    steps: usize,
}

impl Interposer {
    pub(crate) fn new(
        decide: impl FnMut(&mut Step<'_>) -> io::Result<Action> + Send + 'static,
    ) -> Self {
        Self {
            decide: Box::new(decide),
            steps: 0,
        }
    }

    /// The response to `command`; `None` to close the connection.
    pub(crate) fn respond(
        &mut self,
        command: &[u8],
        tpm: &TcpStream,
    ) -> io::Result<Option<Vec<u8>>> {
        let mut step = Step::new(command, self.steps, tpm);
        self.steps += 1;
        Ok(match (self.decide)(&mut step)? {
            Action::Pass => Some(step.pass()?.bytes()),
            Action::Reply(reply) => Some(reply.bytes()),
            Action::HangUp => None,
        })
    }
}

impl fmt::Debug for Interposer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Interposer")
            .field("steps", &self.steps)
            .finish_non_exhaustive()
    }
}
