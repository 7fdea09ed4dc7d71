//! The storage root key, and the capabilities that are read before there is a token.

use tpm_core::{Capabilities, Srk};

use super::{Done, Operation};

pub(crate) const SRK: &[Operation] = &[
    Operation::new("Srk::find_or_create, one there", |world, op, _| {
        Srk::find_or_create(op, &world.owner).map(Done::Srk)
    })
    .first_use(),
    Operation::new("Srk::find_or_create, none there", |world, op, _| {
        Srk::find_or_create(op, &world.owner).map(Done::Srk)
    })
    .on_blank()
    .first_use(),
    Operation::new("Srk::make_anew", |world, op, _| {
        Srk::make_anew(op, &world.owner).map(Done::Srk)
    })
    .first_use()
    // The old one is removed before the new one can have its handle.
    .may_leave(&["no storage root key"]),
    Operation::new("Srk::check", |world, op, _| {
        world.srk.check(op).map(Done::nothing)
    }),
    Operation::new("Srk::check of a chip without it", |world, op, _| {
        world.srk.check(op).map(Done::nothing)
    })
    .on_blank()
    .fails(),
    Operation::new("Srk::prove", |world, op, _| {
        world.srk.prove(op).map(Done::nothing)
    }),
];

/// The capabilities, which decide which keys are made.
pub(crate) const CAPABILITIES: &[Operation] = &[Operation::new(
    "Capabilities::read_authentic",
    |world, op, _| {
        let read = Capabilities::read_authentic(&world.srk.open(op)?)?;
        Ok(Done::Capabilities(Box::new(read)))
    },
)];
