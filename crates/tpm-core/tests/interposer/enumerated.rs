//! Every variation of every operation: none may achieve anything but a failure.

use std::collections::HashMap;

use testing::interposer::Message;

use crate::{
    TestResult,
    bench::Bench,
    operations::{
        ATTESTATION, CAPABILITIES, COUNTER, HIERARCHIES, KEYS, LOCKOUT_KEY, MOVING_IN, OBJECTS,
        OPEN, OWNERS, Operation, RSA_KEYS, SRK, TOKEN_KEY, WRONG_PIN,
    },
    variation::Variation,
    world::{Kind, World},
};

/// Tries every variation of every operation, and fails with a list of those that made a difference.
fn withstand(world: World, operations: &[&[Operation]]) -> TestResult {
    let bench = Bench::new(world);
    let (mut fooled, mut runs) = (Vec::new(), 0);
    let mut met = HashMap::new();
    for operation in operations.iter().copied().flatten() {
        let baseline = bench.baseline(operation);
        assert!(!baseline.trace.is_empty(), "{}", operation.name);
        for variation in Variation::all(&baseline.trace, &mut met) {
            runs += 1;
            if let Err(what) = bench.check(operation, &baseline, &variation) {
                let at = variation.at();
                let command = baseline.trace[at].0.name();
                fooled.push(format!(
                    "{}: {variation} ({command})\n    {what}",
                    operation.name
                ));
            }
        }
    }
    let count = fooled.len();
    assert!(
        fooled.is_empty(),
        "{count} of {runs}:\n{}",
        fooled.join("\n")
    );
    Ok(())
}

#[test]
fn the_storage_root_key() -> TestResult {
    withstand(World::new(Kind::None)?, &[SRK, CAPABILITIES])
}

#[test]
fn the_storage_root_key_of_an_owned_chip() -> TestResult {
    withstand(World::owned(Kind::None)?, &[SRK])
}

#[test]
fn the_so_object_and_the_change_guard() -> TestResult {
    withstand(World::new(Kind::Counter)?, &[OBJECTS])
}

#[test]
fn the_pin_counter() -> TestResult {
    withstand(World::new(Kind::Counter)?, &[OWNERS, COUNTER])
}

#[test]
fn the_pin_counter_of_an_owned_chip() -> TestResult {
    withstand(World::owned(Kind::Counter)?, &[OWNERS])
}

#[test]
fn a_token_key_behind_a_counter() -> TestResult {
    let world = World::new(Kind::Counter)?.with_rsa()?;
    withstand(world, &[TOKEN_KEY, WRONG_PIN, KEYS, RSA_KEYS])
}

#[test]
fn a_token_key_behind_the_lockout() -> TestResult {
    let operations = [TOKEN_KEY, WRONG_PIN, LOCKOUT_KEY, OPEN];
    withstand(World::new(Kind::Lockout)?, &operations)
}

#[test]
fn moving_in_behind_a_counter() -> TestResult {
    withstand(World::new(Kind::Counter)?, &[MOVING_IN])
}

#[test]
fn moving_in_behind_the_lockout() -> TestResult {
    withstand(World::new(Kind::Lockout)?, &[MOVING_IN])
}

#[test]
fn moving_in_behind_nothing() -> TestResult {
    withstand(World::new(Kind::None)?, &[MOVING_IN])
}

#[test]
fn an_attestation_of_a_key_behind_a_counter() -> TestResult {
    withstand(
        World::new(Kind::Counter)?.with_attestation()?,
        &[ATTESTATION],
    )
}

#[test]
fn an_attestation_of_a_key_behind_the_lockout() -> TestResult {
    withstand(
        World::new(Kind::Lockout)?.with_attestation()?,
        &[ATTESTATION],
    )
}

#[test]
fn an_attestation_of_a_key_behind_nothing() -> TestResult {
    withstand(World::new(Kind::None)?.with_attestation()?, &[ATTESTATION])
}

#[test]
fn a_token_key_behind_nothing() -> TestResult {
    withstand(World::new(Kind::None)?, &[TOKEN_KEY])
}

/// So that [`OPEN`] is tried behind one wall only.
#[test]
fn opening_a_token_key_is_loading_a_key_or_verifying() -> TestResult {
    let named = |name: &str| {
        let found = TOKEN_KEY.iter().find(|operation| operation.name == name);
        found.ok_or(format!("no operation {name}"))
    };
    for kind in Kind::ALL {
        let bench = Bench::new(World::new(kind)?);
        let form = |operation: &Operation| -> Vec<_> {
            let trace = bench.baseline(operation).trace;
            let form = |message: &Message| (message.code(), message.paths());
            trace.iter().map(|(c, r)| (form(c), form(r))).collect()
        };
        for (open, same) in OPEN.iter().zip(["TokenKey::load_key", "TokenKey::verify"]) {
            assert_eq!(form(open), form(named(same)?), "{kind:?}: {}", open.name);
        }
    }
    Ok(())
}

#[test]
fn the_hierarchies() -> TestResult {
    withstand(World::owned(Kind::None)?, &[HIERARCHIES])
}
