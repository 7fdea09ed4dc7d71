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
//! agent::harden::files()?;
//! agent::harden::server();
//! let options = Options {
//!     tpm: Arc::new(Tpm::new(Config::load()?.tcti(None)?.tcti)),
//!     store: StoreDir::for_user()?,
//!     token: None,
//!     policy: Policy::UntilLocked,
//!     token_policies: HashMap::new(),
//!     broker: Broker::new(Way::from_environment(), Duration::from_secs(120)),
//!     upstreams: Vec::new(),
//!     audit: None,
//!     notify: false,
//!     sha1: false,
//!     public_files: None,
//! };
//! agent::serve(Socket::claim(&Socket::default_path()?)?, options, || {})?;
//! # Ok(())
//! # }
//! ```
#![forbid(unsafe_code)]

mod ask;
pub mod audit;
pub mod client;
mod error;
mod key;
mod login;
mod machine;
pub mod protocol;
pub mod public_files;
mod request;
mod serve;
mod state;
pub mod status;

pub use ask::broker;
pub use error::{Error, Result};
pub use key::{bind, destination};
pub use login::logins::Policy;
pub use machine::harden;
pub use serve::socket::Socket;
pub use serve::{serve, serve_until};
pub use state::Options;
