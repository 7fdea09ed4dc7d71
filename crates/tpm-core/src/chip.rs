//! The chip itself: its facts, its self test, its random numbers, its known weaknesses.

pub mod info;
pub mod random;
pub mod selftest;
pub mod weakness;
