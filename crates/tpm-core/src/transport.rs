//! One exchange with a TPM: bytes out, bytes in, before a deadline.

mod dbus;
mod libtss2;
pub(crate) mod tcti;

use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Write},
    net::{IpAddr, Shutdown, SocketAddr, TcpStream},
    os::unix::fs::OpenOptionsExt,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::OFlags,
    io::Errno,
};

use self::libtss2::LoadedTcti;
use crate::{Error, Result, Tcti};

/// The largest command or response that any TPM takes, in bytes.
pub(crate) const MAX_BUFFER: usize = 4096;

/// Bytes of a response header: tag (2), size (4), response code (4).
const HEADER: usize = 10;

/// A connection to a TPM.
pub(crate) trait Transport: Send {
    /// Sends a whole command and returns a whole response.
    ///
    /// The response has at least a header, and the length that its header states.
    fn transact(&mut self, command: &[u8], deadline: Deadline) -> Result<Vec<u8>>;
}

/// The end of a wait, and how long that wait was to be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadline {
    end: Instant,
    wait: Duration,
}

impl Deadline {
    /// Ends `wait` from now.
    pub(crate) fn after(wait: Duration) -> Self {
        Self {
            end: Instant::now() + wait,
            wait,
        }
    }

    /// The time that is left, at least a millisecond; an error when there is none.
    pub(crate) fn left(self) -> Result<Duration> {
        let left = self.end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            Err(self.timeout())
        } else {
            Ok(left.max(Duration::from_millis(1)))
        }
    }

    fn timeout(self) -> Error {
        Error::Timeout {
            seconds: self.wait.as_secs(),
        }
    }
}

/// Opens a connection.
pub(crate) fn open(tcti: &Tcti, deadline: Deadline) -> Result<Box<dyn Transport>> {
    Ok(match tcti {
        Tcti::Device(path) => Box::new(Device::open(path, deadline)?),
        Tcti::Swtpm { host, port } => Box::new(Socket::connect(*host, *port, tcti, deadline)?),
        Tcti::Tabrmd(conf) => {
            dbus::start_manager(conf).map_err(|source| Error::NoTpm {
                tcti: tcti.to_string(),
                source,
            })?;
            Box::new(LoadedTcti::load(tcti)?)
        }
        Tcti::Mssim { host, port } => {
            // libtss2 prints where nobody listens.
            drop(tcp(*host, *port, tcti, deadline)?);
            Box::new(LoadedTcti::load(tcti)?)
        }
    })
}

/// Checks that `response` has a header and the length that it states.
pub(crate) fn checked_length(header: &[u8]) -> Result<usize> {
    let size = header
        .get(2..6)
        .and_then(|size| size.try_into().ok())
        .map(|size| u32::from_be_bytes(size) as usize)
        .ok_or(Error::Malformed("response header"))?;
    if (HEADER..=MAX_BUFFER).contains(&size) {
        Ok(size)
    } else {
        Err(Error::Malformed("response length"))
    }
}

/// A device node of the kernel's TPM driver.
///
/// It is opened non-blocking: the driver then runs the command while `poll` waits, so that a
/// chip which never answers costs a deadline and not a process.
struct Device(File);

impl Device {
    fn open(path: &Path, deadline: Deadline) -> Result<Self> {
        loop {
            let flags = (OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY).bits();
            let opened = OpenOptions::new()
                .read(true)
                .write(true)
                .custom_flags(flags.cast_signed())
                .open(path);
            match opened {
                Ok(file) => return Ok(Self(file)),
                Err(err) if err.kind() == io::ErrorKind::PermissionDenied => {
                    return Err(Error::PermissionDenied {
                        path: path.to_owned(),
                    });
                }
                // /dev/tpm0 belongs to one program at a time.
                Err(err) if err.raw_os_error() == Some(Errno::BUSY.raw_os_error()) => {
                    deadline.left().map_err(|_| Error::Busy)?;
                    thread::sleep(Duration::from_millis(5));
                }
                Err(source) => {
                    let tcti = format!("device:{}", path.display());
                    return Err(Error::NoTpm { tcti, source });
                }
            }
        }
    }
}

impl Transport for Device {
    fn transact(&mut self, command: &[u8], deadline: Deadline) -> Result<Vec<u8>> {
        self.0.write_all(command).map_err(device_error)?;
        let left = deadline.left()?;
        let timeout = Timespec::try_from(left).ok();
        let mut fds = [PollFd::new(&self.0, PollFlags::IN)];
        let ready =
            poll(&mut fds, timeout.as_ref()).map_err(|err| Error::Connection(err.into()))?;
        if ready == 0 {
            return Err(deadline.timeout());
        }
        let mut response = vec![0; MAX_BUFFER];
        let read = self.0.read(&mut response).map_err(device_error)?;
        response.truncate(read);
        if checked_length(&response)? != read {
            return Err(Error::Malformed("response length"));
        }
        Ok(response)
    }
}

/// The kernel's resource manager answers a handle that it does not know with `EINVAL`, and a
/// connection whose objects died (a cleared TPM, a flushed session) with `EFAULT` for ever.
fn device_error(err: io::Error) -> Error {
    match err.raw_os_error().map(Errno::from_raw_os_error) {
        Some(Errno::INVAL | Errno::FAULT) => Error::Stale,
        _ => Error::Connection(err),
    }
}

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

/// The data port of a swtpm, which takes raw commands.
///
/// swtpm answers one connection at a time and lets others wait, so that holding this is also
/// the lock between processes.
struct Socket {
    stream: TcpStream,
    control: SocketAddr,
    answered: bool,
}

impl Socket {
    fn connect(host: IpAddr, port: u16, tcti: &Tcti, deadline: Deadline) -> Result<Self> {
        let stream = tcp(host, port, tcti, deadline)?;
        stream.set_nodelay(true).map_err(Error::Connection)?;
        let control = SocketAddr::new(host, port + 1);
        Ok(Self {
            stream,
            control,
            answered: false,
        })
    }

    fn exchange(&mut self, command: &[u8], deadline: Deadline) -> Result<Vec<u8>> {
        self.stream
            .set_write_timeout(Some(deadline.left()?))
            .map_err(Error::Connection)?;
        self.stream
            .write_all(command)
            .map_err(|err| self.error(err, deadline))?;
        let mut response = vec![0; HEADER];
        self.fill(&mut response, deadline)?;
        let size = checked_length(&response)?;
        response.resize(size, 0);
        self.fill(&mut response[HEADER..], deadline)?;
        self.answered = true;
        Ok(response)
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

    /// Whether swtpm's control channel answers `CMD_GET_CAPABILITY` (1): it does so even while
    /// another client holds the data channel, so silence here means that swtpm has stopped.
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
    /// Ends the connection, not just this descriptor: a child that the host forked meanwhile
    /// has a copy of it, which would keep swtpm waiting.
    fn drop(&mut self) {
        let _ = self.stream.shutdown(Shutdown::Both);
    }
}

impl Transport for Socket {
    fn transact(&mut self, command: &[u8], deadline: Deadline) -> Result<Vec<u8>> {
        self.exchange(command, deadline)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_outside_of_what_a_tpm_sends_is_refused() {
        let header = |size: u32| [&[0x80, 1][..], &size.to_be_bytes(), &[0; 4]].concat();
        assert_eq!(checked_length(&header(10)).unwrap(), 10);
        assert_eq!(checked_length(&header(4096)).unwrap(), 4096);
        for size in [0, 9, 4097, u32::MAX] {
            assert!(checked_length(&header(size)).is_err(), "{size}");
        }
        assert!(checked_length(&[]).is_err());
    }
}
