//! The failures, their messages, hints and exit codes.

pub(crate) mod advice;
pub(crate) mod error;
pub(crate) mod failure;
pub(crate) mod hint;
pub(crate) mod host_key;
mod kind;
pub(crate) mod known;
pub(crate) mod not_imported;
pub(crate) mod usage;
