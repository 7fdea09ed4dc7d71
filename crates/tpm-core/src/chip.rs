//! The chip itself: what it can do, its state, its self test, its random numbers, its known weaknesses.

pub(crate) mod capabilities;
pub mod facts;
pub(crate) mod get_capability;
pub mod info;
pub mod random;
pub mod selftest;
pub mod weakness;
