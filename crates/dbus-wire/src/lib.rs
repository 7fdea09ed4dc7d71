//! D-Bus as bytes: where a message bus is, how a client logs in, and what messages look like.
//!
//! This crate does no input or output, so that a thread with a deadline and an asynchronous
//! task use the same code. What a client does with it:
//!
//! 1. [`sockets`] reads the bus's address, which [`system_bus`] and [`session_bus`] find;
//! 2. [`Handshake`] says which lines to send until the bus has let the client in;
//! 3. [`Message::encode`] gives the bytes of a call;
//! 4. [`Incoming`] takes whatever bytes arrive and gives whole messages back.
//!
//! A bus is trusted to deliver messages, but its bytes are checked: lengths are bounded
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

/// What a bus sent, or its address, cannot be what it claims to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The bus did not let this user in.
    #[error("the message bus does not let us in")]
    Rejected,
    /// The bus cannot pass file descriptors.
    #[error("the message bus passes no file descriptors")]
    NoDescriptors,
    /// The bytes are not D-Bus.
    #[error("the message bus sent a malformed {0}")]
    Malformed(&'static str),
    /// A message or line is longer than any that a client of this crate waits for.
    #[error("the message bus sent a message that is too long")]
    TooLong,
    /// The address of the bus cannot be used.
    #[error("the address of the message bus {0}")]
    Address(&'static str),
}
