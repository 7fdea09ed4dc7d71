//! Authorization values, and the memory that holds them.

pub(crate) mod auth;
pub(crate) mod auth_kinds;
pub(crate) mod locked;
