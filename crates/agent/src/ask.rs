//! Whom the agent asks and tells: a person, and other agents.

pub mod broker;
pub(crate) mod notify;
pub(crate) mod proxy;
