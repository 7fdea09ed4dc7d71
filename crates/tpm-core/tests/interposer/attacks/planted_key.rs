//! A software key in the place of one that the chip makes.

use p256::ecdsa::{Signature, SigningKey, signature::hazmat::PrehashSigner};
use testing::{
    Tap, assert_matches,
    interposer::{Action, Message, cc},
};
use tpm_core::{Blob, Error, KeyBlob, KeyType, Scheme, Usage};

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

/// The key of the world with the planted public half, as the store has it after the attack.
fn in_store(world: &World) -> Result<KeyBlob, Error> {
    let Blob {
        mut public,
        private,
    } = world.key.blob().clone();
    let point = GENERATOR.map(|coordinate| [&[0, 32], &coordinate[..]].concat());
    let at = public.len() - 2 * point[0].len();
    public.truncate(at);
    public.extend(point.concat());
    KeyBlob::parse(Blob { public, private })
}

/// A response to a `TPM2_Load` as of a chip that has loaded the key. The attacker knows no session key, so
/// the HMACs are of zeros.
fn success(command: &Message) -> Message {
    let name = name_of(&command.get("inPublic"));
    let sized = |bytes: &[u8]| [&[0, bytes.len() as u8], bytes].concat();
    let parameters = sized(&name);
    let mut body = 0x8000_0001_u32.to_be_bytes().to_vec();
    body.extend((parameters.len() as u32).to_be_bytes());
    body.extend(parameters);
    for number in 1..=command.sessions().len() {
        let attributes = command.get(&format!("session{number}.attributes"));
        let hmac = command.get(&format!("session{number}.hmac"));
        body.extend(sized(&[0; 32]));
        body.extend(attributes);
        body.extend(sized(&vec![0; hmac.len()]));
    }
    let mut bytes = vec![0x80, 0x02];
    bytes.extend((body.len() as u32 + 10).to_be_bytes());
    bytes.extend([0; 4]);
    bytes.extend(body);
    Message::parse_reply(command, &bytes)
}

/// The planted key is in the store, and the attacker says for the chip that it is loaded. If that were
/// believed, he could sign for it as well, and nobody would notice.
pub(super) fn stored(kind: Kind) -> TestResult {
    let world = World::new(kind)?;
    let planted = in_store(&world)?;
    let tap = Tap::start(&world.swtpm);
    tap.interpose(|step| {
        let is_planted = step
            .command
            .field("inPublic.unique.x")
            .is_some_and(|x| x.value() == GENERATOR[0]);
        if step.command.code() == cc::LOAD && is_planted {
            return Ok(Action::Reply(success(&step.command)));
        }
        Ok(Action::Pass)
    });
    let tpm = tpm(&tap.tcti());
    let op = tpm.begin()?;
    let root = world.srk.open(&op)?;
    match world.token_key.load_key(&root, &world.pin(), &planted) {
        Err(Error::ReplyForged { command }) => {
            assert_eq!(command, tpm_core::CommandCode::Load);
            Ok(())
        }
        other => Err(format!("{other:?}").into()),
    }
}
