//! The wire format of D-Bus: addresses, authentication, and messages.
//!
//! This crate does no input or output, so both a thread with a deadline and an asynchronous task
//! can use it. A client works as follows:
//!
//! 1. [`sockets`] reads the bus's address, which [`system_bus`] and [`session_bus`] find;
//! 2. [`Handshake`] gives the lines to send until the bus has accepted the client;
//! 3. [`Message::encode`] gives the bytes of a call;
//! 4. [`Incoming`] takes arriving bytes and returns complete messages.
//!
//! A bus is trusted to deliver messages, but its bytes are checked: lengths are limited
//! ([`MAX_MESSAGE`]), unknown header fields are skipped, and anything else is an [`Error`].
//!
//! ```
//! use dbus_wire::{Incoming, Message};
//!
//! let call = Message::call("/org/freedesktop/DBus", "org.freedesktop.DBus", "Hello")
//!     .to("org.freedesktop.DBus");
//! let mut incoming = Incoming::default();
//! incoming.push(&call.encode(1));
//! let read = incoming.message()?.expect("it is whole");
//! assert_eq!(read.member.as_deref(), Some("Hello"));
//! # Ok::<(), dbus_wire::Error>(())
//! ```
//!
//! # Source
//!
//! D-Bus Specification, version 0.42.
#![forbid(unsafe_code)]

mod address;
mod handshake;
mod incoming;
mod marshal;
mod message;

pub use address::{Socket, session_bus, sockets, system_bus};
pub use handshake::{Handshake, Step};
pub use incoming::{Incoming, MAX_LINE, MAX_MESSAGE};
pub use message::{Arguments, Kind, Message};

/// The errors of this crate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The bus did not accept this user.
    #[error("the message bus does not let us in")]
    Rejected,
    /// The bus cannot pass file descriptors.
    #[error("the message bus passes no file descriptors")]
    NoDescriptors,
    /// The bytes are not D-Bus.
    #[error("the message bus sent a malformed {0}")]
    Malformed(&'static str),
    /// A message or line is longer than [`MAX_MESSAGE`] or the limit of a line.
    #[error("the message bus sent a message that is too long")]
    TooLong,
    /// The address of the bus cannot be used.
    #[error("the address of the message bus {0}")]
    Address(&'static str),
}
