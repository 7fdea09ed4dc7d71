//! The hierarchies: who owns them, the keys made from their seeds, and the lockout.

pub mod ek;
pub mod lockout;
pub mod ownership;
pub mod persistent;
pub(crate) mod primary;
pub(crate) mod srk;
