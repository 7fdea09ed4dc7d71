//! Key management: making key pairs, and deriving secrets.

pub(crate) mod derive;
pub(crate) mod generate;
