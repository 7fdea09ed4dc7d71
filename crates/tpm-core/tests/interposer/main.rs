//! What a program between this crate and the chip can do: nothing but make operations fail.
//!
//! [`enumerated`] tries every change of every field of every command and response of every
//! operation, and commands of its own in between; [`attacks`] are whole attacks, by name.

mod attacks;
mod attestation;
mod bench;
mod chip;
mod control;
mod enumerated;
mod life;
mod locked_in;
mod man;
mod operations;
mod present;
mod round_trip;
mod secrecy;
mod variation;
mod world;

type TestResult = Result<(), Box<dyn std::error::Error>>;
