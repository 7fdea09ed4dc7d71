//! The token key, behind each wall.

use tpm_core::{KeyType, Usage};

use super::{Done, Operation};
use crate::world::{NEW_PIN, PIN, SECRET, SO_PIN, auth};

/// The operations behind every wall.
pub(crate) const TOKEN_KEY: &[Operation] = &[
    Operation::new(
        "TokenKey::behind_counter, behind_lockout, without_pin",
        |world, op, _| {
            let root = world.srk.open(op)?;
            let key = world.kind.token_key(&root, &world.so, &world.counter)?;
            Ok(Done::TokenKey(Box::new(key)))
        },
    ),
    Operation::new("TokenKey::check", |world, op, _| {
        world
            .token_key
            .check(&world.srk.open(op)?)
            .map(Done::nothing)
    }),
    Operation::new("TokenKey::verify", |world, op, _| {
        let verified = world.token_key.verify(&world.srk.open(op)?, &world.pin());
        verified.map(Done::nothing)
    }),
    Operation::new("TokenKey::load_key", |world, op, _| {
        let ready = world
            .token_key
            .load_key(&world.srk.open(op)?, &world.pin(), &world.key)?;
        Ok(Done::Ready(Box::new(ready)))
    }),
    Operation::new("TokenKey::create_key", |world, op, _| {
        let (srk, pin) = (&world.srk, world.pin());
        let blob =
            world
                .token_key
                .create_key(&srk.open(op)?, &pin, KeyType::EccP256, Usage::SIGN)?;
        Ok(Done::Key(blob))
    }),
    Operation::new("TokenKey::seal", |world, op, _| {
        let sealed = world
            .token_key
            .seal(&world.srk.open(op)?, &world.pin(), &auth(SECRET))?;
        Ok(Done::Sealed(sealed))
    }),
    Operation::new("TokenKey::unseal", |world, op, _| {
        let secret = world
            .token_key
            .unseal(&world.srk.open(op)?, &world.pin(), &world.sealed)?;
        Ok(Done::Secret(secret))
    }),
];

/// Importing keys that were made outside, and using them: behind every wall.
pub(crate) const MOVING_IN: &[Operation] = &[
    Operation::new("TokenKey::create_arrival_key", |world, op, _| {
        let root = world.srk.open(op)?;
        let arrival = world.token_key.create_arrival_key(&root, &world.pin())?;
        Ok(Done::Arrival(arrival))
    }),
    Operation::new("TokenKey::import", |world, op, _| {
        let (root, arrival) = (world.srk.open(op)?, &world.arrival);
        let (pin, software) = (world.pin(), &world.software);
        let key = world
            .token_key
            .import(&root, &pin, arrival, software, Usage::SIGN)?;
        Ok(Done::Imported(Box::new(key)))
    }),
    Operation::new("TokenKey::load_key, an imported one", |world, op, _| {
        let ready =
            world
                .token_key
                .load_key(&world.srk.open(op)?, &world.pin(), &world.imported)?;
        Ok(Done::Ready(Box::new(ready)))
    }),
];

/// What `TokenKey::load_key` and `TokenKey::verify` do by another name, in this order.
pub(crate) const OPEN: &[Operation] = &[
    Operation::new("TokenKey::open with a key", |world, op, _| {
        let key = Some(&world.key);
        let ready = world
            .token_key
            .open(&world.srk.open(op)?, &world.pin(), key)?;
        Ok(ready.map_or(Done::Text("none".into()), |ready| {
            Done::Ready(Box::new(ready))
        }))
    }),
    Operation::new("TokenKey::open without one", |world, op, _| {
        let ready = world
            .token_key
            .open(&world.srk.open(op)?, &world.pin(), None)?;
        Ok(Done::Text(ready.is_some().to_string()))
    }),
];

/// The operations of the lockout wall alone.
pub(crate) const LOCKOUT_KEY: &[Operation] = &[
    Operation::new("TokenKey::change_auth", |world, op, _| {
        let (old, new) = (auth(PIN), auth(NEW_PIN));
        let key = world
            .token_key
            .change_auth(&world.srk.open(op)?, &old, &new)?;
        Ok(Done::TokenKey(Box::new(key)))
    }),
    Operation::new("TokenKey::reset_auth", |world, op, _| {
        let (so_pin, new) = (auth(SO_PIN), auth(NEW_PIN));
        let (srk, so) = (&world.srk, &world.so);
        let key = world
            .token_key
            .reset_auth(&srk.open(op)?, so, &so_pin, &new)?;
        Ok(Done::TokenKey(Box::new(key)))
    }),
];

/// The operations that fail behind a wall with a PIN.
pub(crate) const WRONG_PIN: &[Operation] = &[
    Operation::new("TokenKey::verify, a wrong PIN", |world, op, _| {
        let verified = world.token_key.verify(&world.srk.open(op)?, &auth(NEW_PIN));
        verified.map(Done::nothing)
    })
    .fails(),
    Operation::new("TokenKey::load_key, a wrong PIN", |world, op, _| {
        let pin = auth(NEW_PIN);
        let ready = world
            .token_key
            .load_key(&world.srk.open(op)?, &pin, &world.key)?;
        Ok(Done::Ready(Box::new(ready)))
    })
    .fails(),
    Operation::new("TokenKey::create_key, a wrong PIN", |world, op, _| {
        let (srk, pin) = (&world.srk, auth(NEW_PIN));
        let blob =
            world
                .token_key
                .create_key(&srk.open(op)?, &pin, KeyType::EccP256, Usage::SIGN)?;
        Ok(Done::Key(blob))
    })
    .fails(),
];
