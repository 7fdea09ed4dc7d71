//! A store in which the storage root key is the attacker's, and a recording of what is done with it.

use testing::{Tap, assert_matches};
use tpm_core::{
    Error, KeyType, Operation, Result, Srk, Usage,
    ownership::{self, Hierarchy},
};

use testing::eavesdropper::{Eavesdropper, name_of};

use crate::{
    TestResult,
    life::SECRETS,
    variation::GENERATOR,
    world::{Kind, NEW_PIN, NEW_SO_PIN, OWNER, PIN, SECRET, SO_PIN, World, auth, tpm},
};

/// The stored form of `srk` with the public key whose private half is 1, and its Name or the old one.
///
/// Handle (4 bytes), Name and public area, each with its length; the public area ends with two
/// coordinates, each with its length.
fn replaced(srk: &Srk, adapt_name: bool) -> Vec<u8> {
    let mut bytes = srk.to_bytes();
    let end = bytes.len();
    bytes[end - 66..end - 34].copy_from_slice(&GENERATOR[0]);
    bytes[end - 32..].copy_from_slice(&GENERATOR[1]);
    if adapt_name {
        let name = name_of(&bytes[4 + 36 + 2..]);
        bytes[6..40].copy_from_slice(&name);
    }
    bytes
}

type Use = fn(&World, &Operation<'_>, &Srk) -> Result<()>;

/// All operations that prove a secret.
const USES: &[(&str, Use)] = &[
    ("verify", |world, op, srk| {
        world.token_key.verify(&srk.open(op)?, &world.pin())
    }),
    ("open", |world, op, srk| {
        let opened = world
            .token_key
            .open(&srk.open(op)?, &world.pin(), Some(&world.key));
        opened.map(drop)
    }),
    ("create_key", |world, op, srk| {
        let (pin, usage) = (world.pin(), Usage::SIGN);
        let made = world
            .token_key
            .create_key(&srk.open(op)?, &pin, KeyType::EccP256, usage);
        made.map(drop)
    }),
    ("unseal", |world, op, srk| {
        world
            .token_key
            .unseal(&srk.open(op)?, &world.pin(), &world.sealed)
            .map(drop)
    }),
    ("seal", |world, op, srk| {
        world
            .token_key
            .seal(&srk.open(op)?, &world.pin(), &auth(SECRET))
            .map(drop)
    }),
    ("change of PIN, lockout", |world, op, srk| {
        let (old, new) = (auth(PIN), auth(NEW_PIN));
        world
            .token_key
            .change_auth(&srk.open(op)?, &old, &new)
            .map(drop)
    }),
    ("reset of PIN, lockout", |world, op, srk| {
        let (so_pin, new) = (auth(SO_PIN), auth(NEW_PIN));
        world
            .token_key
            .reset_auth(&srk.open(op)?, &world.so, &so_pin, &new)
            .map(drop)
    }),
    ("change of PIN, counter", |world, op, srk| {
        let secret = auth(SECRET);
        let guard = (&world.guard, &secret);
        world
            .counter
            .change_auth(&srk.open(op)?, guard, &auth(PIN), &auth(NEW_PIN))
    }),
    ("reset of PIN, counter", |world, op, srk| {
        let (so_pin, new) = (auth(SO_PIN), auth(NEW_PIN));
        world
            .counter
            .set_auth(&srk.open(op)?, &world.so, &so_pin, &new)
    }),
    ("reset of the counter", |world, op, srk| {
        world
            .counter
            .reset(&srk.open(op)?, &world.so, &auth(SO_PIN), 7)
    }),
    ("undefine", |world, op, srk| {
        world.counter.undefine(&srk.open(op)?, &auth(OWNER))
    }),
    ("SO PIN", |world, op, srk| {
        world.so.verify(&srk.open(op)?, &auth(SO_PIN))
    }),
    ("secret", |world, op, srk| {
        world.so.secret(&srk.open(op)?, &auth(SO_PIN)).map(drop)
    }),
    ("change of SO PIN", |world, op, srk| {
        let (old, new) = (auth(SO_PIN), auth(NEW_SO_PIN));
        world.so.change_auth(&srk.open(op)?, &old, &new).map(drop)
    }),
    ("owner password", |_, op, srk| {
        let (old, new) = (auth(OWNER), auth(NEW_PIN));
        ownership::change_auth(&srk.open(op)?, Hierarchy::Owner, &old, &new)
    }),
];

pub(super) fn attack(kind: Kind) -> TestResult {
    let world = World::owned(kind)?;
    let kept = Srk::from_bytes(&replaced(&world.srk, false));
    assert_matches!(kept, Err(Error::Malformed(_)));

    let srk = Srk::from_bytes(&replaced(&world.srk, true))?;
    let tap = Tap::start(&world.swtpm);
    for (name, run) in USES {
        world.swtpm.rewind(&world.full);
        tap.reset();
        let used = run(&world, &tpm(&tap.tcti()).begin()?, &srk);
        let only_without_pin = kind == Kind::None && used.is_ok();
        assert!(used.is_err() || only_without_pin, "{name}: {used:?}");
        let heard = Eavesdropper::guessing(&SECRETS)
            .holding(1)
            .listen(&tap.exchanges());
        assert_eq!(heard.confirmed, Vec::<String>::new(), "{name}: {used:?}");
        // No try was counted.
        let state = world
            .counter
            .state(&world.srk.open(&world.direct().begin()?)?)?;
        assert_eq!(state.count, 0, "{name}");
    }
    Ok(())
}
