//! The SO object and the change guard.

use tpm_core::{ChangeGuard, SealedData, SoObject};

use super::{Done, Operation};
use crate::world::{NEW_PIN, NEW_SO_PIN, SECRET, SO_PIN, auth};

pub(crate) const OBJECTS: &[Operation] = &[
    Operation::new("SoObject::create", |world, op, _| {
        let so = SoObject::create(&world.srk.open(op)?, &auth(SO_PIN), &auth(SECRET))?;
        Ok(Done::So(so))
    }),
    Operation::new("SoObject::check", |world, op, _| {
        world.so.check(&world.srk.open(op)?).map(Done::nothing)
    }),
    Operation::new("SoObject::verify", |world, op, _| {
        let verified = world.so.verify(&world.srk.open(op)?, &auth(SO_PIN));
        verified.map(Done::nothing)
    }),
    Operation::new("SoObject::verify, a wrong SO PIN", |world, op, _| {
        let verified = world.so.verify(&world.srk.open(op)?, &auth(NEW_SO_PIN));
        verified.map(Done::nothing)
    })
    .fails(),
    Operation::new("SoObject::secret", |world, op, _| {
        let secret = world.so.secret(&world.srk.open(op)?, &auth(SO_PIN));
        secret.map(Done::Secret)
    }),
    Operation::new("SoObject::change_auth", |world, op, _| {
        let (old, new) = (auth(SO_PIN), auth(NEW_SO_PIN));
        let changed = world.so.change_auth(&world.srk.open(op)?, &old, &new);
        changed.map(Done::So)
    }),
    Operation::new("SealedData::seal and unseal", |world, op, _| {
        let root = world.srk.open(op)?;
        let secret = SealedData::seal(&root, SECRET)?.unseal(&root)?;
        Ok(Done::debug(secret.bytes() == SECRET))
    }),
    Operation::new("ChangeGuard::create", |world, op, _| {
        ChangeGuard::create(&world.srk.open(op)?, &auth(SECRET)).map(Done::Guard)
    }),
    Operation::new("ChangeGuard::check", |world, op, _| {
        world.guard.check(&world.srk.open(op)?).map(Done::nothing)
    }),
    Operation::new(
        "ChangeGuard in a change of PIN, a wrong secret",
        |world, op, _| {
            let guard = (&world.guard, &auth(SO_PIN));
            let (old, new) = (auth(crate::world::PIN), auth(NEW_PIN));
            let counter = &world.counter;
            let changed = counter.change_auth(&world.srk.open(op)?, guard, &old, &new);
            changed.map(Done::nothing)
        },
    )
    .fails(),
];
