//! The places of the store and the configuration file, and the choice of the TPM.

pub mod config;
mod dir;
mod env;
mod paths;
mod srk_record;

pub(crate) use dir::{CheckedFile, Dir, DirLock, FileId, Seen};
pub use paths::{StoreDir, config_dir, home_dir, state_dir};
pub(crate) use srk_record::check_srk;
pub use srk_record::{SRK_RECORD, record_srk, recorded_srks};
