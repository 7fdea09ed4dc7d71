//! Where things are: the store, the configuration file, and which TPM is meant.

pub mod config;
mod env;
mod paths;

pub(crate) use paths::{CheckedFile, Dir, FileId, Seen};
pub use paths::{StoreDir, config_dir, state_dir};
