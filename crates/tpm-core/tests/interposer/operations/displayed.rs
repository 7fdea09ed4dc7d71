//! The operations whose results no session authenticates: what is shown to a person, or checked in
//! another way. The reasons are those of the table in ARCHITECTURE.md, by their names.

use tpm_core::{
    Capabilities, EndorsementAuth, PinCounter, Srk,
    ek::{self, EkType},
    facts, info, persistent, random, selftest, weakness,
};

use super::{Done, Operation};

const SHOWN: &str = "Shown: a fact for a person to read";
const FIRST_USE: &str = "FirstUse: its Name is shown and kept, and find_or_create has it proven";
const CLAIMED_NAME: &str = "ClaimedName: the command that follows carries the Name in its HMAC";
const REFUSAL: &str = "refusals are never authenticated, and take something away";

pub(crate) const DISPLAYED: &[Operation] = &[
    Operation::new("info::read and weakness::of_firmware", |_, op, _| {
        let info = info::read(op)?;
        Ok(Done::debug((weakness::of_firmware(&info), info)))
    })
    .displayed(SHOWN),
    Operation::new("info::key_types", |_, op, _| {
        info::key_types(op).map(Done::debug)
    })
    .displayed(SHOWN),
    Operation::new("facts::read", |_, op, _| facts::read(op).map(Done::debug)).displayed(SHOWN),
    Operation::new("Capabilities::read", |_, op, _| {
        Capabilities::read(op).map(Done::debug)
    })
    .displayed(SHOWN),
    Operation::new("info::handles", |_, op, _| {
        info::handles(op, 0x0180_0000, 0x01ff_ffff).map(Done::debug)
    })
    .displayed(SHOWN),
    Operation::new("persistent::list", |_, op, _| {
        persistent::list(op).map(Done::debug)
    })
    .displayed(SHOWN),
    Operation::new("PinCounter::list", |_, op, _| {
        PinCounter::list(op).map(Done::debug)
    })
    .displayed(SHOWN),
    Operation::new("PinCounter::presence", |world, op, _| {
        world.counter.presence(op).map(Done::debug)
    })
    .displayed(CLAIMED_NAME),
    Operation::new("Srk::find", |_, op, _| Srk::find(op).map(Done::debug)).displayed(FIRST_USE),
    Operation::new("Srk::find_serving", |_, op, _| {
        Srk::find_serving(op).map(Done::debug)
    })
    .displayed(FIRST_USE),
    Operation::new("Srk::unfit", |_, op, _| Srk::unfit(op).map(Done::debug)).displayed(REFUSAL),
    Operation::new("Srk::has_password", |world, op, _| {
        world.srk.has_password(op).map(Done::debug)
    })
    .displayed(REFUSAL),
    Operation::new("ek::find", |_, op, _| {
        ek::find(op, EkType::EccP256).map(Done::debug)
    })
    .displayed(SHOWN),
    Operation::new("ek::certificate", |_, op, _| {
        ek::certificate(op, EkType::EccP256).map(Done::debug)
    })
    .displayed(SHOWN),
    Operation::new("ek::show", |world, op, _| {
        let root = world.srk.open(op)?;
        ek::show(&root, EkType::EccP384, &EndorsementAuth::empty()).map(Done::debug)
    })
    .displayed(SHOWN),
    Operation::new("ek::certified", |_, op, _| {
        ek::certified(op).map(Done::debug)
    })
    .displayed(SHOWN),
    Operation::new("ek::certificate_chain", |_, op, _| {
        ek::certificate_chain(op).map(Done::debug)
    })
    .displayed(SHOWN),
    Operation::new("random::bytes", |_, op, _| {
        Ok(Done::Text(random::bytes(op, 16)?.len().to_string()))
    })
    .displayed(SHOWN),
    Operation::new("selftest::full", |_, op, _| {
        selftest::full(op).map(Done::nothing)
    })
    .displayed(SHOWN),
    Operation::new("selftest::incremental", |_, op, _| {
        selftest::incremental(op).map(Done::nothing)
    })
    .displayed(SHOWN),
    Operation::new("selftest::algorithms", |_, op, _| {
        selftest::algorithms(op, &[0x000b, 0x0023]).map(Done::debug)
    })
    .displayed(SHOWN),
    Operation::new("selftest::result", |_, op, _| {
        selftest::result(op).map(Done::debug)
    })
    .displayed(SHOWN),
];
