//! The PIN counter.

use tpm_core::PinCounter;

use super::{Done, Operation};
use crate::world::{LIMIT, NEW_PIN, PIN, PROBE, SECRET, SO_PIN, World, auth};

/// The counter that an operation defines.
fn another(world: &World) -> PinCounter {
    PinCounter::from_parts(PROBE, world.so.name(), world.guard.name())
}

/// The operations that need the authorization of the owner hierarchy.
pub(crate) const OWNERS: &[Operation] = &[
    Operation::new("PinCounter::define", |world, op, _| {
        let counter = another(world);
        let (so_pin, pin) = (auth(SO_PIN), auth(PIN));
        let owner = &world.owner;
        counter.define(&world.srk.open(op)?, owner, &world.so, &so_pin, &pin, LIMIT)?;
        Ok(Done::Text("defined".into()))
    })
    // Defined and not written: the token key's policy wants the Name of a written one.
    .may_leave(&["1800777: "]),
    Operation::new("PinCounter::undefine", |world, op, _| {
        let undefined = world.counter.undefine(&world.srk.open(op)?, &world.owner);
        undefined.map(Done::nothing)
    }),
    Operation::new("PinCounter::undefine_at", |world, op, _| {
        let handle = world.counter.handle();
        let undefined = PinCounter::undefine_at(&world.srk.open(op)?, &world.owner, handle);
        undefined.map(Done::nothing)
    }),
];

/// The operations that do not need it.
pub(crate) const COUNTER: &[Operation] = &[
    Operation::new("PinCounter::pick_handle", |_, op, _| {
        let handle = PinCounter::pick_handle(op)?;
        let free = (0x0180_0000..0x01c0_0000).contains(&handle);
        Ok(Done::Text(format!("a handle of the owner: {free}")))
    }),
    Operation::new("PinCounter::state", |world, op, _| {
        world.counter.state(&world.srk.open(op)?).map(Done::debug)
    }),
    Operation::new("PinCounter::change_auth", |world, op, _| {
        let secret = auth(SECRET);
        let guard = (&world.guard, &secret);
        let (old, new) = (auth(PIN), auth(NEW_PIN));
        let changed = world
            .counter
            .change_auth(&world.srk.open(op)?, guard, &old, &new);
        changed.map(Done::nothing)
    }),
    Operation::new("PinCounter::change_auth, a wrong PIN", |world, op, _| {
        let secret = auth(SECRET);
        let guard = (&world.guard, &secret);
        let (old, new) = (auth(SO_PIN), auth(NEW_PIN));
        let changed = world
            .counter
            .change_auth(&world.srk.open(op)?, guard, &old, &new);
        changed.map(Done::nothing)
    })
    .fails(),
    Operation::new("PinCounter::set_auth", |world, op, _| {
        let (so_pin, new) = (auth(SO_PIN), auth(NEW_PIN));
        let set = world
            .counter
            .set_auth(&world.srk.open(op)?, &world.so, &so_pin, &new);
        set.map(Done::nothing)
    }),
    Operation::new("PinCounter::set_auth, a wrong SO PIN", |world, op, _| {
        let (so_pin, new) = (auth(PIN), auth(NEW_PIN));
        let set = world
            .counter
            .set_auth(&world.srk.open(op)?, &world.so, &so_pin, &new);
        set.map(Done::nothing)
    })
    .fails(),
    Operation::new("PinCounter::reset", |world, op, _| {
        let reset = world
            .counter
            .reset(&world.srk.open(op)?, &world.so, &auth(SO_PIN), 7);
        reset.map(Done::nothing)
    }),
];
