//! Whole attacks, each by name, against each of the walls.

mod arrival;
mod no_root;
mod other_key;
mod other_root;
mod pin_of_his_own;
mod planted_key;
mod raised_limit;

use crate::{TestResult, world::Kind};

/// The outcome of an attack behind one wall.
#[derive(Clone, Copy)]
enum Cell {
    /// It is carried out, and has to fail.
    Fails(fn(Kind) -> TestResult),
    /// There is nothing to attack behind this wall.
    NotApplicable(&'static str),
}

use Cell::{Fails, NotApplicable};

/// Each attack, and its outcome behind the counter, the lockout and no wall.
const TABLE: [(&str, [Cell; 3]); 10] = [
    (
        "a software key is planted when a key is made",
        [Fails(planted_key::attack); 3],
    ),
    (
        "the storage root key in the store is replaced, its Name kept or adapted",
        [Fails(other_root::attack); 3],
    ),
    (
        "the limit is raised when it is written",
        [
            Fails(raised_limit::attack),
            NotApplicable("the chip's own limit, which the owner of the machine sets"),
            NotApplicable("no PIN, no limit"),
        ],
    ),
    (
        "another key of the token is loaded in the user's own session",
        [
            Fails(other_key::attack),
            Fails(other_key::attack),
            NotApplicable("anybody on the machine may load its keys"),
        ],
    ),
    (
        "a chip without a storage root key is claimed, to hear a password unsalted",
        // This is about the owner's password, which does not depend on the wall.
        [
            Fails(no_root::attack),
            NotApplicable(SAME),
            NotApplicable(SAME),
        ],
    ),
    (
        "a PIN is injected when the SO sets one",
        [
            Fails(pin_of_his_own::attack),
            Fails(pin_of_his_own::attack),
            NotApplicable("no PIN"),
        ],
    ),
    (
        "a signature is replaced when one is made",
        [Fails(planted_key::signature); 3],
    ),
    (
        "an arrival key of the attacker's is in the store when a key is imported",
        [Fails(arrival::planted); 3],
    ),
    (
        "an arrival key of the attacker's takes the place of one that is made",
        [Fails(arrival::made); 3],
    ),
    (
        "a software key is planted in the store, and its load is answered",
        [
            Fails(planted_key::stored),
            Fails(planted_key::stored),
            NotApplicable("without a PIN, a load has no session that could show it"),
        ],
    ),
];

const SAME: &str = "the same for every wall";

/// Carries out the attack in row `row`, whose name is in the table.
fn carry_out(row: usize) -> TestResult {
    let (name, cells) = TABLE[row];
    for (kind, cell) in Kind::ALL.into_iter().zip(cells) {
        match cell {
            Fails(attack) => attack(kind).map_err(|err| format!("{name}, {kind:?}: {err}"))?,
            NotApplicable(why) => assert!(!why.is_empty()),
        }
    }
    Ok(())
}

#[test]
fn a_planted_key_is_refused() -> TestResult {
    carry_out(0)
}

#[test]
fn a_replaced_storage_root_key_gets_no_proof_of_a_pin() -> TestResult {
    carry_out(1)
}

#[test]
fn a_raised_limit_is_refused() -> TestResult {
    carry_out(2)
}

#[test]
fn another_key_is_not_loaded_in_the_users_session() -> TestResult {
    carry_out(3)
}

#[test]
fn a_denied_storage_root_key_gets_no_password() -> TestResult {
    carry_out(4)
}

#[test]
fn an_injected_pin_is_refused() -> TestResult {
    carry_out(5)
}

#[test]
fn a_replaced_signature_is_refused() -> TestResult {
    carry_out(6)
}

#[test]
fn nothing_is_wrapped_for_a_planted_arrival_key() -> TestResult {
    carry_out(7)
}

#[test]
fn an_arrival_key_that_somebody_else_made_is_refused() -> TestResult {
    carry_out(8)
}

#[test]
fn a_key_that_is_planted_in_the_store_does_not_seem_to_be_loaded() -> TestResult {
    carry_out(9)
}
