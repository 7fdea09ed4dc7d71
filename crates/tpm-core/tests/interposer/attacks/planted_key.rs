//! A software key in the place of one that the chip makes.

use p256::ecdsa::{Signature, SigningKey, signature::hazmat::PrehashSigner};
use testing::{
    Tap, assert_matches,
    interposer::{Action, Message, cc},
};
use tpm_core::{Error, KeyType, Scheme, Usage};

use testing::eavesdropper::name_of;

use crate::{
    TestResult,
    variation::GENERATOR,
    world::{Kind, World, tpm},
};

/// The private half of the planted key is 1: its public half is the generator.
fn private() -> SigningKey {
    let mut bytes = [0; 32];
    bytes[31] = 1;
    SigningKey::from_bytes(&bytes.into()).expect("1 is a private key")
}

fn plant(message: &mut Message, field: &str) {
    for (part, coordinate) in ["x", "y"].into_iter().zip(GENERATOR) {
        message.set(&format!("{field}.unique.{part}"), &coordinate);
    }
}

/// Plays the planted key through the whole life of a key: made, loaded, used.
fn impersonate(tap: &Tap) {
    let mut genuine: Option<Vec<u8>> = None;
    tap.interpose(move |step| {
        let code = step.command.code();
        if code == cc::LOAD
            && let Some(genuine) = &genuine
            && step
                .command
                .field("inPublic.unique.x")
                .map(|x| x.value())
                .as_deref()
                == Some(&GENERATOR[0])
        {
            let planted = name_of(&step.command.get("inPublic"));
            step.command.set("inPublic", genuine);
            let mut reply = step.pass()?;
            if reply.succeeded() {
                reply.set("name", &planted);
            }
            return Ok(Action::Reply(reply));
        }
        let mut reply = step.pass()?;
        match code {
            cc::CREATE if reply.field("outPublic.unique.x").is_some() => {
                genuine = Some(reply.get("outPublic"));
                plant(&mut reply, "outPublic");
            }
            cc::SIGN if reply.succeeded() => sign(&step.command, &mut reply),
            _ => {}
        }
        Ok(Action::Reply(reply))
    });
}

/// Signs what the chip was asked to sign, with the planted key.
fn sign(command: &Message, reply: &mut Message) {
    let signature: Signature = private()
        .sign_prehash(&command.get("digest"))
        .expect("a digest of 32 bytes");
    reply.set("signature.signatureR", &signature.r().to_bytes());
    reply.set("signature.signatureS", &signature.s().to_bytes());
}

/// The whole attack: every reply about the key is forged, so that the key seems to be the attacker's.
pub(super) fn attack(kind: Kind) -> TestResult {
    let world = World::new(kind)?;
    let tap = Tap::start(&world.swtpm);
    impersonate(&tap);
    let tpm = tpm(&tap.tcti());
    let op = tpm.begin()?;
    let (srk, pin) = (&world.srk, world.pin());
    let made = world
        .token_key
        .create_key(&srk.open(&op)?, &pin, KeyType::EccP256, Usage::SIGN);
    match made {
        Err(Error::ReplyForged { command }) => {
            assert_eq!(command, tpm_core::CommandCode::Create);
            Ok(())
        }
        other => Err(format!("{other:?}").into()),
    }
}

/// The end of the attack alone, on a key that was made honestly.
pub(super) fn signature(kind: Kind) -> TestResult {
    let world = World::new(kind)?;
    let tap = Tap::start(&world.swtpm);
    tap.interpose(|step| {
        let mut reply = step.pass()?;
        if step.command.code() == cc::SIGN && reply.succeeded() {
            sign(&step.command, &mut reply);
        }
        Ok(Action::Reply(reply))
    });
    let tpm = tpm(&tap.tcti());
    let op = tpm.begin()?;
    let ready = world
        .token_key
        .load_key(&world.srk.open(&op)?, &world.pin(), &world.key)?;
    let signed = ready.sign(&op, Scheme::Ecdsa, &[0x5a; 32]);
    assert_matches!(signed, Err(Error::WrongSignature));
    Ok(())
}
