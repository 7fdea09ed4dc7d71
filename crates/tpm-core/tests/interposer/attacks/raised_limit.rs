//! A limit of four thousand million wrong PINs.

use testing::{
    Tap,
    interposer::{Action, cc},
};
use tpm_core::PinCounter;

use crate::{
    TestResult,
    world::{Kind, LIMIT, PIN, PROBE, SO_PIN, World, auth, tpm},
};

pub(super) fn attack(kind: Kind) -> TestResult {
    let world = World::new(kind)?;
    let tap = Tap::start(&world.swtpm);
    tap.interpose(|step| {
        if step.command.code() == cc::NV_WRITE {
            // Encrypted or not: these are the last 4 of 8 bytes.
            let mut data = step.command.get("data");
            data[4..].fill(0xff);
            step.command.set("data", &data);
        }
        Ok(Action::Pass)
    });
    let there = tpm(&tap.tcti());
    let (so_pin, pin) = (auth(SO_PIN), auth(PIN));
    let another = PinCounter::from_parts(PROBE, world.so.name(), world.guard.name());
    let defined = another.define(
        &world.srk.open(&there.begin()?)?,
        &world.owner,
        &world.so,
        &so_pin,
        &pin,
        LIMIT,
    );
    assert!(defined.is_err(), "{defined:?}");
    let reset = world
        .counter
        .reset(&world.srk.open(&there.begin()?)?, &world.so, &so_pin, LIMIT);
    assert!(reset.is_err(), "{reset:?}");

    let direct = world.direct();
    let op = direct.begin()?;
    assert_eq!(world.counter.state(&world.srk.open(&op)?)?.limit, LIMIT);
    assert!(
        another.state(&world.srk.open(&op)?).is_err(),
        "it is not there"
    );
    Ok(())
}
