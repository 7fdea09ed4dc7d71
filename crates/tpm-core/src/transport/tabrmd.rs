//! The resource manager tpm2-abrmd: `tabrmd:`.
//!
//! One call over D-Bus makes a connection and returns its descriptor, over which TPM commands and
//! responses go unchanged. The connection to the bus is then closed, because the descriptor is
//! enough. The manager's other methods, `Cancel` and `SetLocality`, are not implemented there
//! (version 3.0) and not called.
//!
//! # Source
//!
//! tpm2-abrmd, interface `com.intel.tss2.TctiTabrmd`; tcti-tabrmd(7) for the options.

use std::{
    fmt, io,
    os::fd::OwnedFd,
    thread,
    time::{Duration, Instant},
};

use dbus_wire::{Kind, Message, session_bus, sockets, system_bus};
use rustix::{
    io::Errno,
    net::{RecvFlags, SendFlags, Shutdown, recv, send, shutdown},
};

use super::{
    exchange::{Deadline, Transport, read_response},
    message_bus::{MessageBus, Reply, not_a_bus},
    readiness::{For, is_quiet, wait},
};
use crate::{Error, Result, Tcti};

/// The resource manager's name on the bus, unless the connection string has another.
const NAME: &str = "com.intel.tss2.Tabrmd";
const PATH: &str = "/com/intel/tss2/Tabrmd/Tcti";
const INTERFACE: &str = "com.intel.tss2.TctiTabrmd";

/// How long a manager may own its name on the bus before it answers calls: it takes the name early
/// in its start.
const STARTING: Duration = Duration::from_secs(5);

/// The longest pause between two tries.
const MAX_PAUSE: Duration = Duration::from_millis(100);

/// A connection that the resource manager made.
pub(super) struct Tabrmd {
    socket: OwnedFd,
    /// Whether the parent process still uses the connection, so that this process must not end it.
    abandoned: bool,
}

impl Tabrmd {
    /// Asks the manager that `conf` names (`bus_name=…,bus_type=…`) for a connection. The bus
    /// starts the manager if it does not run. If all its connections are taken, waits for a free
    /// one.
    ///
    /// # Errors
    ///
    /// [`Error::NoTpm`] if there is no bus or no manager, [`Error::Busy`] if no connection
    /// became free, [`Error::Timeout`] if the bus or the manager did not answer.
    pub(super) fn connect(conf: &str, tcti: &Tcti, deadline: Deadline) -> Result<Self> {
        let no_tpm = |source| Error::NoTpm {
            tcti: tcti.to_string(),
            source,
        };
        let begun = Instant::now();
        let mut pause = Duration::from_millis(2);
        let mut crowded = false;
        loop {
            let refusal = match ask(conf, deadline) {
                Ok(socket) => {
                    let abandoned = false;
                    return Ok(Self { socket, abandoned });
                }
                Err(Failure::Refused(refusal)) => refusal,
                // The manager did answer: all connections are taken.
                Err(Failure::Other(Error::Timeout { .. })) if crowded => return Err(Error::Busy),
                Err(Failure::Other(Error::Connection(source))) => return Err(no_tpm(source)),
                Err(Failure::Other(err)) => return Err(err),
            };
            let patient = match refusal.kind() {
                Refused::Crowded => {
                    crowded = true;
                    true
                }
                Refused::NotReady => begun.elapsed() < STARTING,
                Refused::Absent => false,
            };
            if !patient {
                return Err(no_tpm(io::Error::other(refusal)));
            }
            let Ok(left) = deadline.left() else {
                return Err(if crowded {
                    Error::Busy
                } else {
                    deadline.timeout()
                });
            };
            thread::sleep(pause.min(left));
            pause = (pause * 2).min(MAX_PAUSE);
        }
    }

    fn fill(&mut self, mut buffer: &mut [u8], deadline: Deadline) -> Result<()> {
        while !buffer.is_empty() {
            match recv(&self.socket, &mut *buffer, RecvFlags::DONTWAIT) {
                Ok((0, _)) => return Err(Error::Connection(io::ErrorKind::UnexpectedEof.into())),
                Ok((read, _)) => buffer = &mut buffer[read..],
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => wait(&self.socket, For::Reading, deadline)?,
                Err(err) => return Err(Error::Connection(err.into())),
            }
        }
        Ok(())
    }
}

impl Transport for Tabrmd {
    fn send(&mut self, mut command: &[u8], deadline: Deadline) -> Result<()> {
        while !command.is_empty() {
            let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
            match send(&self.socket, command, flags) {
                Ok(sent) => command = &command[sent..],
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => wait(&self.socket, For::Writing, deadline)?,
                Err(err) => return Err(Error::Connection(err.into())),
            }
        }
        Ok(())
    }

    fn receive(&mut self, deadline: Deadline) -> Result<Vec<u8>> {
        read_response(|buffer| self.fill(buffer, deadline))
    }

    fn is_alive(&self) -> bool {
        is_quiet(&self.socket)
    }

    fn abandon(mut self: Box<Self>) {
        self.abandoned = true;
    }
}

impl Drop for Tabrmd {
    /// Ends the connection and not only this descriptor: a child that the host forked in the
    /// meantime has a copy of the descriptor, which would keep the connection open.
    fn drop(&mut self) {
        if !self.abandoned {
            let _ = shutdown(&self.socket, Shutdown::Both);
        }
    }
}

enum Failure {
    /// The bus or the manager refused.
    Refused(Refusal),
    Other(Error),
}

impl From<Error> for Failure {
    fn from(err: Error) -> Self {
        Self::Other(err)
    }
}

/// Asks for a connection once.
fn ask(conf: &str, deadline: Deadline) -> Result<OwnedFd, Failure> {
    let option = |key: &str| {
        let mut pairs = conf.split(',').filter_map(|pair| pair.split_once('='));
        pairs.find(|(name, _)| *name == key).map(|(_, value)| value)
    };
    // A set-user-id program ignores its caller's environment.
    let trusted = rustix::process::getuid() == rustix::process::geteuid()
        && rustix::process::getgid() == rustix::process::getegid();
    let address = if option("bus_type") == Some("session") {
        session_bus(trusted).ok_or_else(|| {
            let why = "no message bus of this user is known (DBUS_SESSION_BUS_ADDRESS)";
            Error::Connection(io::Error::other(why))
        })?
    } else {
        system_bus(trusted)
    };
    let mut bus = MessageBus::connect(&sockets(&address).map_err(not_a_bus)?, deadline)?;
    accepted(bus.call(&Message::to_bus("Hello"), deadline)?)?;
    let name = option("bus_name").unwrap_or(NAME);
    let call = Message::call(PATH, INTERFACE, "CreateConnection").to(name);
    let mut descriptors = accepted(bus.call(&call, deadline)?)?.descriptors;
    match (descriptors.pop(), descriptors.is_empty()) {
        (Some(socket), true) => Ok(socket),
        // Version 1 of tpm2-abrmd returned two pipes.
        _ => Err(Error::Malformed("reply of the resource manager").into()),
    }
}

/// The reply, unless it is an error.
fn accepted(reply: Reply) -> Result<Reply, Failure> {
    if reply.message.kind == Kind::Return {
        return Ok(reply);
    }
    let text = reply.message.arguments().text().unwrap_or_default();
    Err(Failure::Refused(Refusal {
        name: reply.message.error.clone().unwrap_or_default(),
        text: text.chars().filter(|c| !c.is_control()).take(120).collect(),
    }))
}

/// An error that came over the bus.
#[derive(Debug)]
struct Refusal {
    name: String,
    text: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Refused {
    /// All connections of the manager, or of the bus, are taken.
    Crowded,
    /// The manager is just starting, or has just ended.
    NotReady,
    /// There is no manager, or it may not be used.
    Absent,
}

impl Refusal {
    fn kind(&self) -> Refused {
        let standard = self.name.strip_prefix("org.freedesktop.DBus.Error.");
        match standard {
            Some("LimitsExceeded") => Refused::Crowded,
            Some("UnknownMethod" | "UnknownObject" | "UnknownInterface" | "NoReply") => {
                Refused::NotReady
            }
            Some(_) => Refused::Absent,
            // An error of the manager: either "MAX_COMMANDS exceeded. Try again later.", or that it
            // found no free number for the connection.
            None if self.text.contains("Try again later") => Refused::Crowded,
            None => Refused::Absent,
        }
    }
}

impl std::error::Error for Refusal {}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name.strip_prefix("org.freedesktop.DBus.Error.") {
            Some("ServiceUnknown" | "NameHasNoOwner") => {
                f.write_str("the message bus has no resource manager")
            }
            Some("AccessDenied") => {
                f.write_str("the message bus lets this user not use the resource manager")
            }
            _ => write!(
                f,
                "the resource manager refuses a connection: {}",
                self.text
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_waited_for_or_not() {
        let kind = |name: &str, text: &str| {
            let (name, text) = (name.to_owned(), text.to_owned());
            Refusal { name, text }.kind()
        };
        let bus = |name: &str| kind(&format!("org.freedesktop.DBus.Error.{name}"), "");
        assert_eq!(bus("ServiceUnknown"), Refused::Absent);
        assert_eq!(bus("AccessDenied"), Refused::Absent);
        assert_eq!(bus("Spawn.ChildExited"), Refused::Absent);
        assert_eq!(bus("UnknownMethod"), Refused::NotReady);
        assert_eq!(bus("LimitsExceeded"), Refused::Crowded);
        let own = "org.gtk.GDBus.UnmappedGError.Quark._tabrmd_2derror.Code720897";
        let full = "MAX_COMMANDS exceeded. Try again later.";
        assert_eq!(kind(own, full), Refused::Crowded);
        assert_eq!(kind(own, "Failed to get client PID"), Refused::Absent);
    }
}
