//! The errors that a user can meet: exact text, hint, exit code, and no try spent.

mod names;
mod pins;
mod store;
mod tpm;

use crate::program::Program;

/// The tries left in `token list`, and those in the chip.
fn tries_left(program: &Program) -> u64 {
    let list: serde_json::Value =
        serde_json::from_str(&program.run(&["token", "list", "--json"]).ok()).unwrap();
    list[0]["tries_left"].as_u64().unwrap()
}
