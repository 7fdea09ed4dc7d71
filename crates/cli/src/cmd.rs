//! The commands: each file has the arguments of one and its `run`.

pub(crate) mod agent;
pub(crate) mod ca;
pub(crate) mod cert;
pub(crate) mod complete;
pub(crate) mod completions;
pub(crate) mod copy_id;
pub(crate) mod csr;
pub(crate) mod delete;
pub(crate) mod doctor;
pub(crate) mod export;
pub(crate) mod git;
pub(crate) mod host;
pub(crate) mod keygen;
pub(crate) mod list;
pub(crate) mod lock;
pub(crate) mod man;
pub(crate) mod setup;
pub(crate) mod sign;
pub(crate) mod simulator;
pub(crate) mod ssh_config;
pub(crate) mod token;
pub(crate) mod tpm;
pub(crate) mod unlock;
pub(crate) mod verify;
