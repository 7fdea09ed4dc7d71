//! The attestation key, and the proof that the chip holds it.

use tpm_core::{AttestationKey, Credential, Result, ek::EkType};

use super::{Done, Operation};
use crate::{attestation::SECRET, world::World};

/// Recovers the secret of a credential for `ek_type`, with `key`.
fn activate(
    world: &World,
    op: &tpm_core::Operation<'_>,
    ek_type: EkType,
    for_another_key: bool,
) -> Result<Done> {
    let attestation = world.attestation();
    let made = &attestation.credentials[usize::from(ek_type == EkType::EccP256)];
    let made = if for_another_key {
        &attestation.for_another_key
    } else {
        made
    };
    let credential = Credential {
        id_object: &made.id_object,
        secret: &made.secret,
    };
    let root = world.srk.open(op)?;
    let secret = attestation
        .key
        .activate(&root, ek_type, &world.endorsement(), &credential)?;
    Ok(Done::Text(format!("{:02x?}", &secret[..])))
}

/// A whole answer: the secret, the login, the certificate.
fn answer(world: &World, op: &tpm_core::Operation<'_>, ek_type: EkType) -> Result<Done> {
    let attestation = world.attestation();
    let made = &attestation.credentials[usize::from(ek_type == EkType::EccP256)];
    let credential = Credential {
        id_object: &made.id_object,
        secret: &made.secret,
    };
    let (root, pin) = (world.srk.open(op)?, world.pin());
    let key = &attestation.key;
    let mut answer = key.begin_answer(&root, ek_type, &world.endorsement(), &credential)?;
    let ready = answer.load_key(&root, &world.token_key, &pin, &world.key)?;
    let (secret, certified) = answer.certify(&root, &ready, &[0x5a; 32])?;
    assert_eq!(secret[..], SECRET);
    Ok(Done::Certified(Box::new(certified)))
}

pub(crate) const ATTESTATION: &[Operation] = &[
    Operation::new("AttestationKey::create", |world, op, _| {
        AttestationKey::create(&world.srk.open(op)?).map(|key| Done::AttestationKey(Box::new(key)))
    }),
    // The key on P-384 is at its persistent handle and takes no password; that on P-256 is made for the use.
    Operation::new("AttestationKey::activate, P-384", |world, op, _| {
        activate(world, op, EkType::EccP384, false)
    }),
    Operation::new("AttestationKey::activate, P-256", |world, op, _| {
        activate(world, op, EkType::EccP256, false)
    }),
    Operation::new("AttestationKey::activate, another key's", |world, op, _| {
        activate(world, op, EkType::EccP384, true)
    })
    .fails(),
    Operation::new("AttestationKey::certify", |world, op, ready| {
        let ready = ready.expect("it is loaded");
        let key = &world.attestation().key;
        let certified = key.certify(&world.srk.open(op)?, ready, &[0x5a; 32])?;
        Ok(Done::Certified(Box::new(certified)))
    })
    .with(|world| &world.key),
    // With the endorsement key that shares its policy session with the login, and the one that does not.
    Operation::new("AttestationKey::begin_answer, P-256", |world, op, _| {
        answer(world, op, EkType::EccP256)
    }),
    Operation::new("AttestationKey::begin_answer, P-384", |world, op, _| {
        answer(world, op, EkType::EccP384)
    }),
];
