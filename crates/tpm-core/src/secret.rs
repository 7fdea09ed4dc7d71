//! Authorization values, and the memory that holds them.

pub mod auth;
mod locked;
