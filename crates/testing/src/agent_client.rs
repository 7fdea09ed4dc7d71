//! A client of an ssh-agent that sends raw bytes.

use std::{
    io::{self, Read, Write},
    os::unix::net::UnixStream,
    path::Path,
};

use crate::wait::PATIENCE;

/// A client of an ssh-agent that sends any bytes, also malformed messages.
///
/// It waits for an answer for half a minute, then it panics.
#[derive(Debug)]
pub struct AgentClient(UnixStream);

impl AgentClient {
    /// Connects to the agent at `socket`.
    ///
    /// # Panics
    ///
    /// If nobody listens there.
    #[must_use]
    pub fn connect(socket: &Path) -> Self {
        let stream = UnixStream::connect(socket)
            .unwrap_or_else(|err| panic!("cannot connect to {}: {err}", socket.display()));
        stream
            .set_read_timeout(Some(PATIENCE))
            .expect("the time is not 0");
        Self(stream)
    }

    /// Sends bytes unchanged. It is not an error if the agent has hung up.
    pub fn send(&mut self, bytes: &[u8]) {
        let _ = self.0.write_all(bytes);
    }

    /// Sends a message with its length in front.
    pub fn send_message(&mut self, message: &[u8]) {
        self.send(&frame(message));
    }

    /// The next message; `None` if the agent has hung up instead.
    ///
    /// # Panics
    ///
    /// If nothing comes, or half a message.
    pub fn receive(&mut self) -> Option<Vec<u8>> {
        let mut header = [0; 4];
        loop {
            match self.0.read(&mut header[..1]) {
                Ok(0) => return None,
                Err(err) if err.kind() == io::ErrorKind::ConnectionReset => return None,
                // SIGCHLD of an agent's child in this process interrupts the read. The kernel does
                // not restart a read that has a timeout.
                Err(err) if err.kind() == io::ErrorKind::Interrupted => {}
                read => {
                    read.expect("the agent answers");
                    break;
                }
            }
        }
        self.0.read_exact(&mut header[1..]).expect("a whole header");
        let mut message = vec![0; u32::from_be_bytes(header) as usize];
        self.0.read_exact(&mut message).expect("a whole message");
        Some(message)
    }

    /// Sends a message; returns the answer.
    ///
    /// # Panics
    ///
    /// If there is none.
    pub fn ask(&mut self, message: &[u8]) -> Vec<u8> {
        self.send_message(message);
        self.receive().expect("the agent does not hang up")
    }
}

/// A message with its length in front.
///
/// # Panics
///
/// If it is 4 GiB or longer.
#[must_use]
pub fn frame(message: &[u8]) -> Vec<u8> {
    let len = u32::try_from(message.len()).expect("a message is shorter than 4 GiB");
    [&len.to_be_bytes(), message].concat()
}

/// A message: its type, then `fields`, each with its length in front.
#[must_use]
pub fn message(kind: u8, fields: &[&[u8]]) -> Vec<u8> {
    let mut message = vec![kind];
    for field in fields {
        message.extend(frame(field));
    }
    message
}
