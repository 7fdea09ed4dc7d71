//! Another key of the token, loaded and used by way of the user's own login.

use testing::{
    Tap,
    interposer::{Action, Message, cc},
};

use crate::{
    TestResult,
    bench::Bench,
    operations::Operation,
    variation::Variation,
    world::{Kind, World},
};

const LOGIN: Operation = Operation::new("login", |world, op, _| {
    let ready = world
        .token_key
        .load_key(&world.srk.open(op)?, &world.pin(), &world.key)?;
    Ok(crate::operations::Done::Ready(Box::new(ready)))
});

/// The attacker loads it before every command of a login, in our session and in one that he gives us.
pub(super) fn attack(kind: Kind) -> TestResult {
    let bench = Bench::new(World::new(kind)?);
    let login = bench.baseline(&LOGIN);
    let places = 0..login.trace.len();
    let starts = places.clone().filter(|&at| {
        let command: &Message = &login.trace[at].0;
        command.code() == cc::START_AUTH_SESSION
    });
    let variations = places
        .clone()
        .map(Variation::Inject)
        .chain(starts.map(Variation::OwnSession));
    for variation in variations {
        bench.check(&LOGIN, &login, &variation)?;
    }
    // He also puts it in the place of the user's key: its Name is wrong.
    let world = World::new(kind)?;
    let other = world.other.blob().clone();
    let own = world.key.blob().private.clone();
    let tap = Tap::start(&world.swtpm);
    tap.interpose(move |step| {
        let command = &mut step.command;
        if command.code() == cc::LOAD && command.get("inPrivate") == own {
            command.set("inPrivate", &other.private);
            command.set("inPublic", &other.public);
        }
        Ok(Action::Pass)
    });
    let tpm = crate::world::tpm(&tap.tcti());
    let op = tpm.begin()?;
    let loaded = world
        .token_key
        .load_key(&world.srk.open(&op)?, &world.pin(), &world.key);
    assert!(loaded.is_err(), "{loaded:?}");
    Ok(())
}
