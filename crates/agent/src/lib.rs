//! An ssh-agent whose keys are in a TPM.
//!
//! It speaks the protocol of OpenSSH's own agent, so that `ssh`, `ssh-add`, `git` and `sshd`
//! use it without knowing: destination constraints, session binding, lifetimes, confirmation
//! and locking included. The keys of all tokens in the store are there by themselves; the PIN
//! is asked for when a key is used, or given before with `tpmssh unlock`.
//!
//! Each client has a thread, which waits for what the client waits for: its turn with the TPM, or
//! a person, who is asked through a program of its own. So neither a signature nor a prompt keeps
//! anybody else waiting, and a signature changes no threads on its way. One more thread accepts
//! clients, and looks after timers and programs.
//!
//! ```no_run
//! use std::{collections::HashMap, sync::Arc, time::Duration};
//!
//! use agent::{Options, Policy, Socket, broker::{Broker, Way}};
//! use token_store::{Config, StoreDir};
//! use tpm_core::Tpm;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! agent::harden::server();
//! let options = Options {
//!     tpm: Arc::new(Tpm::new(Config::load()?.tcti(None)?.tcti)),
//!     store: StoreDir::for_user()?,
//!     policy: Policy::UntilLocked,
//!     token_policies: HashMap::new(),
//!     broker: Broker::new(Way::from_environment(), Duration::from_secs(120)),
//!     upstreams: Vec::new(),
//!     audit: None,
//!     notify: false,
//! };
//! agent::serve(Socket::claim(&Socket::default_path()?)?, options)?;
//! # Ok(())
//! # }
//! ```
#![forbid(unsafe_code)]

mod agent;
pub mod audit;
pub mod bind;
pub mod broker;
mod certificate;
mod chip;
pub mod client;
mod clients;
mod clock;
mod connection;
pub mod destination;
mod error;
pub mod harden;
mod keys;
mod lock;
mod logind;
mod logins;
mod mutex;
mod notify;
mod peer;
pub mod protocol;
mod proxy;
mod server;
mod socket;
mod standing;

// A server's key, which the tests of the public API use as well.
#[cfg(test)]
#[path = "../tests/protocol/host.rs"]
mod host;

pub use agent::Options;
pub use chip::sign_for_ssh;
pub use error::{Error, Result};
pub use logins::Policy;
pub use server::{serve, serve_until};
pub use socket::Socket;
