//! The data port of a swtpm: `swtpm:`.

use std::{
    io::{self, Read, Write},
    net::{IpAddr, Shutdown, SocketAddr, TcpStream},
    time::Duration,
};

use super::exchange::{Deadline, Transport, read_response};
use crate::{Error, Result, Tcti};

/// The data port of a swtpm, which takes raw commands.
///
/// swtpm serves one connection at a time and lets others wait, so this connection is also the lock
/// between processes.
pub(super) struct Socket {
    stream: TcpStream,
    control: SocketAddr,
    answered: bool,
    /// Whether the parent process still uses the connection, so that this process must not end it.
    abandoned: bool,
}

impl Socket {
    /// Connects.
    pub(super) fn connect(
        host: IpAddr,
        port: u16,
        tcti: &Tcti,
        deadline: Deadline,
    ) -> Result<Self> {
        let stream = tcp(host, port, tcti, deadline)?;
        stream.set_nodelay(true).map_err(Error::Connection)?;
        let control = SocketAddr::new(host, port + 1);
        Ok(Self {
            stream,
            control,
            answered: false,
            abandoned: false,
        })
    }

    fn fill(&mut self, mut buffer: &mut [u8], deadline: Deadline) -> Result<()> {
        while !buffer.is_empty() {
            self.stream
                .set_read_timeout(Some(deadline.left()?))
                .map_err(Error::Connection)?;
            match self.stream.read(buffer) {
                Ok(0) => return Err(Error::Connection(io::ErrorKind::UnexpectedEof.into())),
                Ok(read) => buffer = &mut buffer[read..],
                Err(err) if err.kind() == io::ErrorKind::Interrupted => {}
                Err(err) => return Err(self.error(err, deadline)),
            }
        }
        Ok(())
    }

    fn error(&self, err: io::Error, deadline: Deadline) -> Error {
        match err.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
                if !self.answered && self.control_answers() {
                    Error::Busy
                } else {
                    deadline.timeout()
                }
            }
            _ => Error::Connection(err),
        }
    }

    /// Whether swtpm's control channel answers `CMD_GET_CAPABILITY` (1). It answers even while
    /// another client holds the data channel, so no answer means that swtpm hangs or has stopped.
    fn control_answers(&self) -> bool {
        let patience = Duration::from_millis(500);
        let ask = || -> io::Result<()> {
            let mut stream = TcpStream::connect_timeout(&self.control, patience)?;
            stream.set_read_timeout(Some(patience))?;
            stream.write_all(&1_u32.to_be_bytes())?;
            stream.read_exact(&mut [0; 4])
        };
        ask().is_ok()
    }
}

impl Drop for Socket {
    /// Ends the connection and not only this descriptor: a child that the host forked in the
    /// meantime has a copy of the descriptor, which would keep the connection open.
    fn drop(&mut self) {
        if !self.abandoned {
            let _ = self.stream.shutdown(Shutdown::Both);
        }
    }
}

impl Transport for Socket {
    fn send(&mut self, command: &[u8], deadline: Deadline) -> Result<()> {
        self.stream
            .set_write_timeout(Some(deadline.left()?))
            .map_err(Error::Connection)?;
        self.stream
            .write_all(command)
            .map_err(|err| self.error(err, deadline))
    }

    fn receive(&mut self, deadline: Deadline) -> Result<Vec<u8>> {
        let response = read_response(|buffer| self.fill(buffer, deadline))?;
        self.answered = true;
        Ok(response)
    }

    fn abandon(mut self: Box<Self>) {
        self.abandoned = true;
    }
}

/// A connection to a port, before the deadline.
fn tcp(host: IpAddr, port: u16, tcti: &Tcti, deadline: Deadline) -> Result<TcpStream> {
    TcpStream::connect_timeout(&SocketAddr::new(host, port), deadline.left()?).map_err(|source| {
        match source.kind() {
            io::ErrorKind::TimedOut => deadline.timeout(),
            _ => Error::NoTpm {
                tcti: tcti.to_string(),
                source,
            },
        }
    })
}
