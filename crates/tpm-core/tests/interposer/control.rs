//! The control: if nothing is authenticated, forgeries succeed. So the other tests would notice a forgery.

use std::collections::HashMap;

use testing::{
    Swtpm, Tap,
    interposer::{Action, Message, cc},
};

use crate::{
    TestResult,
    bench::Bench,
    chip::{Chip, start_policy},
    operations::DISPLAYED,
    variation::{GENERATOR, Variation},
    world::{Kind, World, tpm},
};

/// For every operation with an unauthenticated result some forgery succeeds; otherwise it should not be
/// on that list. None of the forgeries changes the chip.
#[test]
fn what_is_only_displayed_can_be_forged_and_changes_nothing() -> TestResult {
    let bench = Bench::new(World::new(Kind::Counter)?);
    for operation in DISPLAYED {
        let reason = operation.displayed.expect("that is why it is in this list");
        assert!(!reason.is_empty(), "{}", operation.name);
        let baseline = bench.baseline(operation);
        let mut forged = 0;
        for variation in Variation::all(&baseline.trace, &mut HashMap::new()) {
            let differs = bench.check(operation, &baseline, &variation);
            forged += usize::from(differs.map_err(|err| format!("{}: {err}", operation.name))?);
        }
        assert!(forged > 0, "{}: authenticated after all", operation.name);
    }
    Ok(())
}

/// A key that is made by a command without a session can be replaced by a planted one.
#[test]
fn a_plain_command_is_fooled() -> TestResult {
    let swtpm = Swtpm::start();
    tpm_core::Srk::find_or_create(&tpm(&swtpm.tcti()).begin()?, &tpm_core::OwnerAuth::empty())?;
    let tap = Tap::start(&swtpm);
    tap.interpose(|step| {
        let mut reply = step.pass()?;
        if step.command.code() == cc::CREATE {
            reply.set("outPublic.unique.x", &GENERATOR[0]);
            reply.set("outPublic.unique.y", &GENERATOR[1]);
        }
        Ok(Action::Reply(reply))
    });
    // An empty authorization value; a key on P-256 for signing; no creation data.
    let template = b"\0\x23\0\x0b\0\x04\x04\x72\0\0\0\x10\0\x10\0\x03\0\x10\0\0\0\0";
    let mut parameters = vec![0, 4, 0, 0, 0, 0, 0, 22];
    parameters.extend(template);
    parameters.extend([0; 6]);
    let create = Message::command(cc::CREATE)
        .with_handle(tpm_core::Srk::HANDLE)
        .with_password(&[])
        .with_parameters(&parameters);
    let made = Chip::connect(tap.port()).send(&create);
    assert!(made.succeeded(), "{made:?}");
    assert_eq!(made.get("outPublic.unique.x"), GENERATOR[0]);
    Ok(())
}

/// A policy session in which a PIN was proven without naming a command can be used for any command.
#[test]
fn a_proof_that_names_no_command_is_used_by_the_man_in_the_middle() -> TestResult {
    let world = World::new(Kind::Counter)?;
    let mut chip = Chip::connect(world.swtpm.port());
    let session = chip.send(&start_policy()).number("sessionHandle");
    let prove = Message::command(cc::POLICY_SECRET)
        .with_handle(world.counter.handle())
        .with_handle(session)
        .with_password(crate::world::PIN)
        .with_parameters(&[0; 10]);
    assert!(chip.send(&prove).succeeded());
    let sized = |bytes: &[u8]| {
        let length = u16::try_from(bytes.len()).expect("short");
        [&length.to_be_bytes(), bytes].concat()
    };
    let load = |parent: u32, blob: &tpm_core::Blob| {
        let parameters = [sized(&blob.private), sized(&blob.public)].concat();
        Message::command(cc::LOAD)
            .with_handle(parent)
            .with_parameters(&parameters)
    };
    let token_key = load(tpm_core::Srk::HANDLE, world.token_key.blob()).with_password(&[]);
    let token_key = chip.send(&token_key).number("objectHandle");
    let other = load(token_key, world.other.blob()).with_session(session, &[], 1, &[]);
    assert!(chip.send(&other).succeeded());
    Ok(())
}
