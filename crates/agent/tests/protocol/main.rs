//! The agent over its socket: the cases of its protocol, each with the stated outcome.
//!
//! The numbers are those of RFC 9987: 5 failure, 6 success, 12 list, 14 signature,
//! 28 extension failure, 29 extension response.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod attest;
mod audit;
mod bind_rules;
mod binds;
mod destination_rules;
mod frames;
mod host;
mod keys;
mod lock;
mod loosening;
mod prompts;
mod proxy;
mod remote;
mod served;
mod sign;
