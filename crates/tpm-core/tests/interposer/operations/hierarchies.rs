//! Ownership, lockout, endorsement keys.

use tpm_core::{
    ek::{self, EkType},
    lockout::{self, Parameters},
    ownership::{self, Hierarchy},
};

use super::{Done, Operation};
use crate::{
    chip::NEW_PASSWORD,
    world::{ENDORSEMENT, LOCKOUT, OWNER, auth},
};

pub(crate) const HIERARCHIES: &[Operation] = &[
    Operation::new("ownership::change_auth, owner", |world, op, _| {
        let (old, new) = (auth(OWNER), auth(NEW_PASSWORD));
        let changed = ownership::change_auth(&world.srk.open(op)?, Hierarchy::Owner, &old, &new);
        changed.map(Done::nothing)
    }),
    Operation::new("ownership::change_auth, endorsement", |world, op, _| {
        let (old, new) = (auth(ENDORSEMENT), auth(NEW_PASSWORD));
        let hierarchy = Hierarchy::Endorsement;
        let changed = ownership::change_auth(&world.srk.open(op)?, hierarchy, &old, &new);
        changed.map(Done::nothing)
    }),
    Operation::new("ownership::change_auth, a wrong one", |world, op, _| {
        let (old, new) = (auth(ENDORSEMENT), auth(NEW_PASSWORD));
        let changed = ownership::change_auth(&world.srk.open(op)?, Hierarchy::Owner, &old, &new);
        changed.map(Done::nothing)
    })
    .fails(),
    Operation::new("ownership::clear", |world, op, _| {
        ownership::clear(op, Some(&world.srk), &auth(LOCKOUT)).map(Done::nothing)
    }),
    Operation::new("lockout::reset", |world, op, _| {
        lockout::reset(op, Some(&world.srk), &auth(LOCKOUT)).map(Done::nothing)
    }),
    Operation::new("lockout::set_parameters", |world, op, _| {
        let parameters = Parameters {
            max_tries: 32,
            interval: 7200,
            recovery: 86_400,
        };
        lockout::set_parameters(op, Some(&world.srk), &auth(LOCKOUT), parameters).map(Done::nothing)
    }),
    Operation::new("ek::create", |world, op, _| {
        let (endorsement, owner) = (auth(ENDORSEMENT), auth(OWNER));
        ek::create(op, Some(&world.srk), EkType::EccP256, &endorsement, &owner).map(Done::debug)
    }),
];
