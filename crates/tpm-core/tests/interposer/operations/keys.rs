//! Keys that are loaded.

use tpm_core::{Hash, PublicKey, ReadyKey, Result, Scheme, Signature};

use super::{Done, Operation};
use crate::world::World;

pub(crate) const KEYS: &[Operation] = &[
    Operation::new("ReadyKey::sign", |_, op, ready| {
        let ready = ready.expect("it is loaded");
        let signature = ready.sign(op, Scheme::Ecdsa, &[0x5a; 32])?;
        // Verified again, without the check that `sign` does.
        let good = ready
            .public()
            .verify(Scheme::Ecdsa, &[0x5a; 32], &signature);
        Ok(Done::Text(format!("verified: {good}")))
    })
    .with(|world| &world.key),
    Operation::new("ReadyKey::ecdh", |world, op, ready| {
        let PublicKey::Ecc { x, y, .. } = world.key.public() else {
            unreachable!("it is an ECC key");
        };
        let ready = ready.expect("it is loaded");
        ready.ecdh(&world.srk.open(op)?, x, y).map(Done::debug)
    })
    .with(|world| &world.other),
];

/// Verifies `signature` again, without the check that `sign` does.
fn checked(ready: &ReadyKey, scheme: Scheme, signature: Result<Signature>) -> Result<Done> {
    let good = ready.public().verify(scheme, &[0x5a; 32], &signature?);
    Ok(Done::Text(format!("verified: {good}")))
}

const PKCS1: Scheme = Scheme::RsaPkcs1(Hash::Sha256);

pub(crate) const RSA_KEYS: &[Operation] = &[
    Operation::new("ReadyKey::sign, RSA", |_, op, ready| {
        let ready = ready.expect("it is loaded");
        checked(ready, PKCS1, ready.sign(op, PKCS1, &[0x5a; 32]))
    })
    .with(World::rsa),
    Operation::new("ReadyKey::sign_padded_outside", |_, op, ready| {
        let ready = ready.expect("it is loaded");
        checked(
            ready,
            PKCS1,
            ready.sign_padded_outside(op, PKCS1, &[0x5a; 32]),
        )
    })
    .with(World::rsa),
    Operation::new("ReadyKey::rsa_raw", |world, op, ready| {
        let ready = ready.expect("it is loaded");
        ready
            .rsa_raw(&world.srk.open(op)?, &[1; 256])
            .map(Done::debug)
    })
    .with(World::rsa),
];
