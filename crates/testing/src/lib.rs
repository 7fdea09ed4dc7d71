//! Private, temporary environments for tests: a TPM, a home directory, an SSH server.
//!
//! Each value owns a process or a directory. Dropping it ends the process, by its id and never by
//! name, or removes the directory. So tests run in parallel and leave nothing behind. A started
//! program also dies with the test program, even if that is killed. No two values share anything,
//! and nothing outside of temporary directories is changed.
//!
//! | type | what it is |
//! |---|---|
//! | [`Swtpm`] | a TPM simulator with its own state, on a loopback port |
//! | [`Factory`] | a maker of such TPMs, with certificates |
//! | [`Tap`] | a proxy in front of one, that counts, records, delays, cuts, garbles |
//! | [`interposer`] | what such a proxy can make of the commands and responses themselves |
//! | [`Zoo`] | a simulator that looks and refuses like a real [`Chip`] |
//! | [`Abrmd`] | the user-space resource manager on a private message bus |
//! | [`Bus`] | such a bus alone |
//! | [`Home`] | a home directory, and the environment for a child program |
//! | [`Sshd`] | an SSH server on a loopback port |
//! | [`SshAgent`] | OpenSSH's agent |
//! | [`AgentClient`] | a client that sends any bytes to an agent |
//! | [`Display`] | an X server without a screen |
//! | [`differential`] | our answers compared with another program's, for random inputs |
//! | [`eavesdropper`] | an attacker who tests guesses of secrets against a recording of the bus |
//! | [`Postgres`] | a database server with a data directory of its own |
//! | [`Guest`] | a virtual machine with a TPM and a kernel of its own |
//! | [`eventually`] | a wait with a deadline; [`end_of`] waits for a program |
//! | [`namespace`] | whether a test can have mounts of its own |
//! | [`Server`] | any other program that listens on a loopback port |
//! | [`Service`] | any program that listens at a Unix socket |
//!
//! These are for tests: a failed setup panics with a message instead of returning an error.
//!
//! ```
//! use testing::{Swtpm, Tap};
//!
//! let swtpm = Swtpm::start(); // first, so that it is dropped last
//! let tap = Tap::start(&swtpm);
//! assert!(tap.tcti().starts_with("swtpm:host=127.0.0.1,port="));
//! assert_eq!(tap.count(), 0);
//! ```

mod abrmd;
mod agent_client;
mod artifact;
mod bus;
mod chip;
pub mod differential;
mod display;
pub mod eavesdropper;
mod factory;
mod guest;
mod home;
pub mod interposer;
mod matches;
pub mod namespace;
mod port;
mod postgres;
mod process;
mod server;
mod service;
mod ssh_agent;
mod sshd;
mod swtpm;
mod tap;
mod temp;
mod wait;
mod watchdog;
mod zoo;

pub use abrmd::Abrmd;
pub use agent_client::{AgentClient, frame, message};
pub use artifact::module;
pub use bus::Bus;
pub use chip::{Chip, Mood, Pace, Quirks, State};
pub use display::Display;
pub use factory::Factory;
pub use guest::Guest;
pub use home::Home;
pub use postgres::Postgres;
pub use server::Server;
pub use service::Service;
pub use ssh_agent::SshAgent;
pub use sshd::Sshd;
pub use swtpm::{Snapshot, Swtpm};
pub use tap::{Exchange, Fault, Tap, When};
pub use temp::memory_dir;
pub use wait::{PATIENCE, end_of, eventually};
pub use zoo::Zoo;
