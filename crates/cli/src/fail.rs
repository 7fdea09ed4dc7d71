//! What can fail, what is said about it, and the exit code.

pub(crate) mod advice;
pub(crate) mod error;
pub(crate) mod failure;
pub(crate) mod hint;
pub(crate) mod host_key;
mod kind;
pub(crate) mod not_imported;
pub(crate) mod usage;
