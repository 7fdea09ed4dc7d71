//! Calls over a message bus (D-Bus), before a deadline.
//!
//! The connection is non-blocking and waits in `poll`, so a bus that hangs costs only the deadline.
//! Between calls it holds nothing that a fork could break: no thread, no lock, no library of the
//! host process.

use std::{
    collections::VecDeque,
    io::{self, IoSliceMut},
    mem::MaybeUninit,
    os::fd::OwnedFd,
    thread,
    time::Duration,
};

use dbus_wire::{Handshake, Incoming, Kind, Message, Socket, Step};
use rustix::{
    io::Errno,
    net::{
        AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendFlags,
        SocketAddrUnix, SocketFlags, SocketType, connect, recvmsg, send, socket_with,
    },
};

use super::{
    exchange::Deadline,
    readiness::{For, wait},
};
use crate::{Error, Result};

/// How many descriptors one `recvmsg` takes; the kernel closes the rest.
const MAX_DESCRIPTORS: usize = 4;

/// A connection to a bus, for one call at a time.
pub(super) struct MessageBus {
    socket: OwnedFd,
    incoming: Incoming,
    descriptors: VecDeque<OwnedFd>,
    serial: u32,
}

/// The reply to a call.
pub(super) struct Reply {
    /// A message of the kind [`Kind::Return`] or [`Kind::Error`].
    pub(super) message: Message,
    /// The descriptors in it.
    pub(super) descriptors: Vec<OwnedFd>,
}

impl MessageBus {
    /// Connects to the first of `sockets` that accepts a connection, and authenticates (SASL).
    ///
    /// # Errors
    ///
    /// [`Error::Connection`] if no bus accepts this user; [`Error::Timeout`].
    pub(super) fn connect(sockets: &[Socket], deadline: Deadline) -> Result<Self> {
        let mut last = Error::Connection(io::ErrorKind::NotFound.into());
        for socket in sockets {
            match open(socket, deadline) {
                Ok(socket) => {
                    let mut bus = Self {
                        socket,
                        incoming: Incoming::default(),
                        descriptors: VecDeque::new(),
                        serial: 0,
                    };
                    bus.log_in(deadline)?;
                    return Ok(bus);
                }
                Err(err @ Error::Timeout { .. }) => return Err(err),
                Err(err) => last = err,
            }
        }
        Err(last)
    }

    fn log_in(&mut self, deadline: Deadline) -> Result<()> {
        let uid = rustix::process::geteuid().as_raw();
        let (mut handshake, hello) = Handshake::start(uid, true);
        self.send(&hello, deadline)?;
        loop {
            let line = loop {
                match self.incoming.line().map_err(not_a_bus)? {
                    Some(line) => break line,
                    None => self.receive(deadline)?,
                }
            };
            match handshake.line(&line).map_err(not_a_bus)? {
                Step::Send(bytes) => self.send(bytes, deadline)?,
                Step::Finish(bytes) => return self.send(bytes, deadline),
            }
        }
    }

    /// Makes a call and waits for its reply. Skips signals and other replies.
    pub(super) fn call(&mut self, call: &Message, deadline: Deadline) -> Result<Reply> {
        self.serial += 1;
        self.send(&call.encode(self.serial), deadline)?;
        loop {
            let message = loop {
                match self.incoming.message().map_err(not_a_bus)? {
                    Some(message) => break message,
                    None => self.receive(deadline)?,
                }
            };
            let count = usize::try_from(message.descriptors).unwrap_or(usize::MAX);
            let count = count.min(self.descriptors.len());
            let descriptors: Vec<_> = self.descriptors.drain(..count).collect();
            let is_reply = matches!(message.kind, Kind::Return | Kind::Error);
            if is_reply && message.reply_to == Some(self.serial) {
                return Ok(Reply {
                    message,
                    descriptors,
                });
            }
        }
    }

    fn send(&mut self, mut bytes: &[u8], deadline: Deadline) -> Result<()> {
        while !bytes.is_empty() {
            let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
            match send(&self.socket, bytes, flags) {
                Ok(sent) => bytes = &bytes[sent..],
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => wait(&self.socket, For::Writing, deadline)?,
                Err(err) => return Err(Error::Connection(err.into())),
            }
        }
        Ok(())
    }

    /// Waits until bytes arrive, and takes them.
    fn receive(&mut self, deadline: Deadline) -> Result<()> {
        let mut bytes = [0; 4096];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
        loop {
            let mut control = RecvAncillaryBuffer::new(&mut space);
            let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
            let mut into = [IoSliceMut::new(&mut bytes)];
            match recvmsg(&self.socket, &mut into, &mut control, flags) {
                Ok(got) if got.bytes == 0 => {
                    return Err(Error::Connection(io::ErrorKind::UnexpectedEof.into()));
                }
                Ok(got) => {
                    for message in control.drain() {
                        if let RecvAncillaryMessage::ScmRights(passed) = message {
                            self.descriptors.extend(passed);
                        }
                    }
                    self.descriptors.truncate(MAX_DESCRIPTORS);
                    self.incoming.push(&bytes[..got.bytes]);
                    return Ok(());
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => wait(&self.socket, For::Reading, deadline)?,
                Err(err) => return Err(Error::Connection(err.into())),
            }
        }
    }
}

/// A socket connected to `to`. If the queue of the listening socket is full, waits.
fn open(to: &Socket, deadline: Deadline) -> Result<OwnedFd> {
    let io_error = |err: Errno| Error::Connection(err.into());
    let address = match to {
        Socket::Path(path) => SocketAddrUnix::new(path),
        Socket::Abstract(name) => SocketAddrUnix::new_abstract_name(name),
    };
    let address = address.map_err(io_error)?;
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None);
    let socket = socket.map_err(io_error)?;
    loop {
        match connect(&socket, &address) {
            Ok(()) => return Ok(socket),
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => {
                deadline.left()?;
                thread::sleep(Duration::from_millis(5));
            }
            Err(err) => return Err(io_error(err)),
        }
    }
}

pub(super) fn not_a_bus(err: dbus_wire::Error) -> Error {
    Error::Connection(io::Error::new(io::ErrorKind::InvalidData, err))
}
