//! A proxy between a client and its TPM that parses and changes commands and responses.
//!
//! [`Tap::interpose`](crate::Tap::interpose) calls a closure for each command. With the [`Step`] it
//! can do what an attacker on the bus can do: pass the command on, change any field of command or
//! response, send commands of its own before or after, send the command twice or not at all, or
//! answer it.
//!
//! ```
//! use testing::{Swtpm, Tap, interposer::{Action, cc}};
//!
//! let swtpm = Swtpm::start();
//! let tap = Tap::start(&swtpm);
//! tap.interpose(|step| {
//!     // A chip whose random numbers are known.
//!     if step.command.code() != cc::GET_RANDOM {
//!         return Ok(Action::Pass);
//!     }
//!     let mut reply = step.pass()?;
//!     reply.set("randomBytes", &[4; 16]);
//!     Ok(Action::Reply(reply))
//! });
//! ```
//!
//! [`Change::all`] enumerates all changes of a message, for tests that try each of them.

mod change;
mod field;
mod layout;
mod message;
mod reader;
mod step;
mod structure;

pub use change::Change;
pub use field::Field;
pub use layout::cc;
pub use message::Message;
pub use step::{Action, Step};

pub(crate) use step::Interposer;
