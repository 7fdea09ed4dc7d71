//! What clients and the agent say to each other, decoded and encoded; no I/O but framing.
//!
//! Keys and signatures stay unparsed bytes: a key that this program cannot parse is one that it does
//! not hold, and no reason to close the connection. Replies and limits are those of OpenSSH. No
//! library does both, so the messages are decoded here.
//!
//! # Source
//!
//! RFC 9987 (the protocol) and OpenSSH's `PROTOCOL.agent` (session binding, destination
//! constraints, associated certificates).

mod constraint;
mod frame;
mod reply;
mod request;
mod user_auth;

pub use constraint::{Constraints, Destination, Hop, HopKey};
pub use frame::{Frame, MAX_FRAME, await_frame, framed, read_frame};
pub use reply::{KeyList, Listed, Reply};
pub use request::{Card, Request};
pub use ssh_format::Error as Malformed;
pub use ssh_format::wire::{Reader, put_string};
pub use user_auth::{Purpose, UserAuth};

/// A reader of the fields of a message, or of a part of one.
#[must_use]
pub fn fields(message: &[u8]) -> Reader<'_> {
    Reader::new(message, "message")
}

/// The extension that lists the extensions.
pub const QUERY: &str = "query";
/// The extension by which `ssh` says which server a connection serves.
pub const SESSION_BIND: &str = "session-bind@openssh.com";
/// Our own extension by which `tpmssh unlock` hands over a PIN.
pub const UNLOCK: &str = "unlock@tpmssh";
/// Our own extension by which `tpmssh lock` ends all logins.
pub const LOCK: &str = "lock@tpmssh";
/// Our own extension by which `tpmssh agent status` asks for [`crate::status::Status`].
pub const STATUS: &str = "status@tpmssh";
/// Our own extension that names the agents which a connection's requests have passed: for each
/// 16 bytes that it drew at its start.
pub const PROXY_PATH: &str = "proxy-path@tpmssh";

/// Our own extension by which `tpmssh prove` has a challenge answered with a login that the agent has.
///
/// It has three strings: the blob of the key, the hash of the request and the nonce of the challenge (32 bytes
/// each). The answer is a byte 0, then the TPM's attestation, its signature, and the key's own signature over the
/// request; or the exit code of a refusal, then its reason.
pub const ATTEST: &str = "attest@tpmssh";

/// All extensions that are answered, in the order in which `query` tells them.
pub const EXTENSIONS: [&str; 7] = [
    QUERY,
    SESSION_BIND,
    UNLOCK,
    LOCK,
    PROXY_PATH,
    STATUS,
    ATTEST,
];
