//! The token key, behind each wall.

use tpm_core::{KeyType, TokenKey, Usage};

use super::{Done, Operation};
use crate::world::{NEW_PIN, PIN, SECRET, SO_PIN, auth};

/// What there is behind every wall.
pub(crate) const TOKEN_KEY: &[Operation] = &[
    Operation::new("TokenKey::create", |world, op, _| {
        let wall = world.token_key.wall().clone();
        let key = TokenKey::create(op, &world.srk, wall, &auth(PIN))?;
        Ok(Done::TokenKey(Box::new(key)))
    }),
    Operation::new("TokenKey::check", |world, op, _| {
        world.token_key.check(op, &world.srk).map(Done::nothing)
    }),
    Operation::new("TokenKey::verify", |world, op, _| {
        let verified = world.token_key.verify(op, &world.srk, &auth(PIN));
        verified.map(Done::nothing)
    }),
    Operation::new("TokenKey::open with a key", |world, op, _| {
        let key = Some(&world.key);
        let ready = world.token_key.open(op, &world.srk, &auth(PIN), key)?;
        Ok(ready.map_or(Done::Text("none".into()), |ready| {
            Done::Ready(Box::new(ready))
        }))
    }),
    Operation::new("TokenKey::open without one", |world, op, _| {
        let ready = world.token_key.open(op, &world.srk, &auth(PIN), None)?;
        Ok(Done::Text(ready.is_some().to_string()))
    }),
    Operation::new("TokenKey::load_key", |world, op, _| {
        let ready = world
            .token_key
            .load_key(op, &world.srk, &auth(PIN), &world.key)?;
        Ok(Done::Ready(Box::new(ready)))
    }),
    Operation::new("TokenKey::create_key", |world, op, _| {
        let (srk, pin) = (&world.srk, auth(PIN));
        let blob = world
            .token_key
            .create_key(op, srk, &pin, KeyType::EccP256, Usage::SIGN)?;
        Ok(Done::Key(blob))
    }),
    Operation::new("TokenKey::seal", |world, op, _| {
        let sealed = world
            .token_key
            .seal(op, &world.srk, &auth(PIN), &auth(SECRET))?;
        Ok(Done::Sealed(sealed))
    }),
    Operation::new("TokenKey::unseal", |world, op, _| {
        let secret = world
            .token_key
            .unseal(op, &world.srk, &auth(PIN), &world.sealed)?;
        Ok(Done::Secret(secret))
    }),
];

/// What only the lockout wall has, besides what needs a PIN.
pub(crate) const LOCKOUT_KEY: &[Operation] = &[
    Operation::new("TokenKey::change_auth", |world, op, _| {
        let (old, new) = (auth(PIN), auth(NEW_PIN));
        let key = world.token_key.change_auth(op, &world.srk, &old, &new)?;
        Ok(Done::TokenKey(Box::new(key)))
    }),
    Operation::new("TokenKey::reset_auth", |world, op, _| {
        let (so_pin, new) = (auth(SO_PIN), auth(NEW_PIN));
        let (srk, so) = (&world.srk, &world.so);
        let key = world.token_key.reset_auth(op, srk, so, &so_pin, &new)?;
        Ok(Done::TokenKey(Box::new(key)))
    }),
];

/// What a wall with a PIN refuses.
pub(crate) const WRONG_PIN: &[Operation] = &[
    Operation::new("TokenKey::verify, a wrong PIN", |world, op, _| {
        let verified = world.token_key.verify(op, &world.srk, &auth(NEW_PIN));
        verified.map(Done::nothing)
    })
    .fails(),
    Operation::new("TokenKey::load_key, a wrong PIN", |world, op, _| {
        let pin = auth(NEW_PIN);
        let ready = world.token_key.load_key(op, &world.srk, &pin, &world.key)?;
        Ok(Done::Ready(Box::new(ready)))
    })
    .fails(),
    Operation::new("TokenKey::create_key, a wrong PIN", |world, op, _| {
        let (srk, pin) = (&world.srk, auth(NEW_PIN));
        let blob = world
            .token_key
            .create_key(op, srk, &pin, KeyType::EccP256, Usage::SIGN)?;
        Ok(Done::Key(blob))
    })
    .fails(),
];
