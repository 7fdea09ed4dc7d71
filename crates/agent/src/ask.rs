//! Questions and notes to a person, and requests to other agents.

pub mod broker;
pub(crate) mod notify;
pub(crate) mod proxy;
