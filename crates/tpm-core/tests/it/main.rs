//! The public API against a private swtpm.

mod chips;
mod faults;
mod impostor;
mod keys;
mod limits;
mod managed;
mod ownership;
mod theft;
