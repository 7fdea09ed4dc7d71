//! A PIN of the attacker's, when the SO sets a new one.

use crate::{
    TestResult,
    bench::Bench,
    operations::{Done, Operation},
    variation::Variation,
    world::{Kind, NEW_PIN, SO_PIN, World, auth},
};

const COUNTER: Operation = Operation::new("set_auth", |world, op, _| {
    let (so_pin, new) = (auth(SO_PIN), auth(NEW_PIN));
    let set = world
        .counter
        .set_auth(&world.srk.open(op)?, &world.so, &so_pin, &new);
    set.map(Done::nothing)
});

const LOCKOUT: Operation = Operation::new("reset_auth", |world, op, _| {
    let (so_pin, new) = (auth(SO_PIN), auth(NEW_PIN));
    let key = world
        .token_key
        .reset_auth(&world.srk.open(op)?, &world.so, &so_pin, &new)?;
    Ok(Done::TokenKey(Box::new(key)))
});

/// `TPM2_NV_ChangeAuth` or `TPM2_ObjectChangeAuth` before every command, in our sessions and in his.
pub(super) fn attack(kind: Kind) -> TestResult {
    let operation = if kind == Kind::Lockout {
        LOCKOUT
    } else {
        COUNTER
    };
    let bench = Bench::new(World::new(kind)?);
    let baseline = bench.baseline(&operation);
    for at in 0..baseline.trace.len() {
        bench.check(&operation, &baseline, &Variation::Inject(at))?;
        if baseline.trace[at].0.code() == testing::interposer::cc::START_AUTH_SESSION {
            bench.check(&operation, &baseline, &Variation::OwnSession(at))?;
        }
    }
    Ok(())
}
