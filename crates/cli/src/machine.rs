//! This process and the machine it runs on.

pub(crate) mod harden;
pub(crate) mod interrupt;
pub(crate) mod jobs;
pub(crate) mod known_hosts;
pub(crate) mod logger;
pub(crate) mod module;
pub(crate) mod notice;
pub(crate) mod simulator;
pub(crate) mod ssh_agent;
pub(crate) mod threads;
pub(crate) mod user;
pub(crate) mod waiting;
