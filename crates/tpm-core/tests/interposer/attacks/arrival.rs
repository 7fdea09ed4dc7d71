//! An arrival key whose private half the attacker holds: he could read a key that is wrapped for it.

use testing::{
    Tap,
    eavesdropper::name_of,
    interposer::{Action, cc},
};
use tpm_core::{ArrivalKey, Blob, CommandCode, Error, Usage};

use crate::{
    TestResult,
    variation::GENERATOR,
    world::{Kind, World, tpm},
};

/// The attacker's key, of which the private half is 1: its public half is the generator.
fn evil(genuine: &Blob) -> Blob {
    let head = genuine.public.len() - 68;
    let mut public = genuine.public[..head].to_vec();
    for coordinate in GENERATOR {
        public.extend([0, 32]);
        public.extend(coordinate);
    }
    Blob {
        public,
        private: genuine.private.clone(),
    }
}

/// Has the chip load the genuine key in place of the attacker's, and claim that it loaded his.
fn claim(tap: &Tap, genuine: &Blob) {
    let genuine = genuine.clone();
    tap.interpose(move |step| {
        let is_evil = |step: &testing::interposer::Step<'_>| {
            let x = step.command.field("inPublic.unique.x").map(|x| x.value());
            step.command.code() == cc::LOAD && x.as_deref() == Some(&GENERATOR[0])
        };
        let evil = is_evil(step);
        if evil {
            step.command.set("inPublic", &genuine.public);
        }
        let mut reply = step.pass()?;
        if evil && reply.succeeded() {
            let mut public = genuine.public[..genuine.public.len() - 68].to_vec();
            for coordinate in GENERATOR {
                public.extend([0, 32]);
                public.extend(coordinate);
            }
            reply.set("name", &name_of(&public));
        }
        Ok(Action::Reply(reply))
    });
}

/// The attacker has written his own public key into the store. He is on the bus or not.
pub(super) fn planted(kind: Kind) -> TestResult {
    for on_the_bus in [false, true] {
        let world = World::new(kind)?;
        let tap = Tap::start(&world.swtpm);
        let planted = ArrivalKey::from_blob(evil(world.arrival.blob()))?;
        if on_the_bus {
            claim(&tap, world.arrival.blob());
        }
        let tpm = tpm(&tap.tcti());
        let op = tpm.begin()?;
        let root = world.srk.open(&op)?;
        let import = |arrival| {
            let (pin, software) = (world.pin(), &world.software);
            world
                .token_key
                .import(&root, &pin, arrival, software, Usage::SIGN)
        };
        let refused = import(&planted);
        match &refused {
            Err(Error::Integrity(_)) => {}
            // The chip did not get the command that was authorized.
            Err(Error::ReplyForged { .. } | Error::Policy(_) | Error::AuthRejected { .. })
                if on_the_bus => {}
            other => return Err(format!("{other:?}").into()),
        }
        let imports = |tap: &Tap| tap.commands().contains(&cc::IMPORT);
        assert!(!imports(&tap), "nothing was wrapped");
        // The control.
        import(&world.arrival)?;
        assert!(imports(&tap));
    }
    Ok(())
}

/// The chip makes an arrival key, and the attacker answers with his own.
pub(super) fn made(kind: Kind) -> TestResult {
    let world = World::new(kind)?;
    let tap = Tap::start(&world.swtpm);
    tap.interpose(|step| {
        let mut reply = step.pass()?;
        if step.command.code() == cc::CREATE && reply.succeeded() {
            for (part, coordinate) in ["x", "y"].into_iter().zip(GENERATOR) {
                reply.set(&format!("outPublic.unique.{part}"), &coordinate);
            }
        }
        Ok(Action::Reply(reply))
    });
    let tpm = tpm(&tap.tcti());
    let op = tpm.begin()?;
    let root = world.srk.open(&op)?;
    match world.token_key.create_arrival_key(&root, &world.pin()) {
        Err(Error::ReplyForged { command }) => {
            assert_eq!(command, CommandCode::Create);
            Ok(())
        }
        other => Err(format!("{other:?}").into()),
    }
}
