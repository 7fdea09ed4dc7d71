//! A program between a client and its TPM that understands what they say, and changes it.
//!
//! [`Tap::interpose`](crate::Tap::interpose) calls a closure for every command that arrives. What
//! it does with the [`Step`] is what somebody on the bus can do: pass it on, change
//! any field of command or response, send commands of its own before or after, send it twice or
//! not at all, or answer by itself.
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
//! [`Change::all`] enumerates what can be made of a message, for tests that try everything.

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
