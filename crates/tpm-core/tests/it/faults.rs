//! A TPM that is gone, stopped, garbled or busy: an error in time, and never a hang.

use std::{
    net::{TcpListener, TcpStream},
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use testing::{Fault, Swtpm, Tap, When, assert_matches};
use tpm_core::{
    AuthValue, CommandCode, Error, GuardAuth, KeyBlob, KeyType, OwnerAuth, PinAuth, Scheme, SoAuth,
    Srk, TokenKey, Tpm, Usage, info, random, selftest,
};

use crate::empty;

type TestResult = Result<(), Box<dyn std::error::Error>>;

const SHORT: Duration = Duration::from_millis(700);

fn tpm(tcti: &str) -> Tpm {
    Tpm::new(tcti.parse().expect("a TCTI of the test crate"))
}

#[test]
fn nobody_at_the_port_is_no_tpm() -> TestResult {
    let port = {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        listener.local_addr()?.port()
    };
    let tpm = tpm(&format!("swtpm:host=127.0.0.1,port={port}"));
    assert_matches!(tpm.begin(), Err(Error::NoTpm { .. }));
    Ok(())
}

#[test]
fn a_device_that_is_not_there_is_no_tpm() {
    let err = tpm("device:/dev/tpmrm77")
        .begin()
        .expect_err("there is no such device");
    assert_eq!(err.to_string(), "no TPM at device:/dev/tpmrm77");
}

#[test]
fn a_stopped_tpm_is_a_timeout_and_works_when_it_goes_on() -> TestResult {
    let swtpm = Swtpm::start();
    let tpm = tpm(&swtpm.tcti()).with_deadline(SHORT);
    swtpm.pause();
    let before = Instant::now();
    let result = tpm.begin().and_then(|op| random::bytes(&op, 8));
    assert_matches!(result, Err(Error::Timeout { .. }));
    assert!(before.elapsed() < Duration::from_secs(5));
    swtpm.resume();
    assert_eq!(random::bytes(&tpm.begin()?, 8)?.len(), 8);
    Ok(())
}

#[test]
fn a_tpm_that_another_program_holds_is_busy_and_then_free() -> TestResult {
    let swtpm = Swtpm::start();
    let tpm = tpm(&swtpm.tcti()).with_deadline(SHORT);
    let other = TcpStream::connect(("127.0.0.1", swtpm.port()))?;
    // swtpm takes connections in the order in which they were made.
    let result = tpm.begin().and_then(|op| random::bytes(&op, 8));
    assert_matches!(result, Err(Error::Busy));
    drop(other);
    random::bytes(&tpm.begin()?, 8)?;
    Ok(())
}

#[test]
fn a_killed_tpm_is_noticed_and_its_successor_used() -> TestResult {
    let mut swtpm = Swtpm::start();
    let tpm = tpm(&swtpm.tcti());
    let (srk, token_key, key, ready) = {
        let op = tpm.begin()?;
        let srk = Srk::find_or_create(&op, &empty())?;
        let token_key = TokenKey::without_pin(&srk.open(&op)?)?;
        let blob =
            token_key.create_key(&srk.open(&op)?, &empty(), KeyType::EccP256, Usage::SIGN)?;
        let key = KeyBlob::parse(blob)?;
        let ready = token_key.load_key(&srk.open(&op)?, &empty(), &key)?;
        (srk, token_key, key, ready)
    };
    swtpm.kill();
    assert!(tpm.begin().is_err());
    swtpm.restart();
    let op = tpm.begin()?;
    // The saved context died with the chip's memory; the blob did not.
    let stale = ready.sign(&op, Scheme::Ecdsa, &[1; 32]);
    assert_matches!(stale, Err(Error::Stale));
    let ready = token_key.load_key(&srk.open(&op)?, &empty(), &key)?;
    ready.sign(&op, Scheme::Ecdsa, &[1; 32])?;
    Ok(())
}

#[test]
fn an_exchange_cut_or_garbled_anywhere_is_an_error_and_the_next_one_works() -> TestResult {
    let swtpm = Swtpm::start();
    let tap = Tap::start(&swtpm);
    let tpm = tpm(&tap.tcti()).with_deadline(Duration::from_secs(2));
    // The request has 12 bytes, the reply 20.
    for at in 0..20 {
        for fault in [Fault::CutRequest(at.min(11)), Fault::CutReply(at)] {
            tap.inject(When::Nth(0), fault);
            let result = tpm.begin().and_then(|op| random::bytes(&op, 8));
            tap.clear_faults();
            assert!(result.is_err(), "{fault:?}: {result:?}");
            random::bytes(&tpm.begin()?, 8)?;
        }
    }
    // Tag, length and response code of the header.
    for at in 0..10 {
        tap.inject(When::Nth(0), Fault::Garble(at));
        let result = tpm.begin().and_then(|op| random::bytes(&op, 8));
        tap.clear_faults();
        assert!(result.is_err(), "byte {at}: {result:?}");
    }
    Ok(())
}

/// Another program uses the TPM all the time; each use of ours has its turn soon.
#[test]
fn a_program_that_never_stops_does_not_keep_another_out() -> TestResult {
    let swtpm = Swtpm::start();
    let (ours, other) = (tpm(&swtpm.tcti()), tpm(&swtpm.tcti()));
    let (begun, done) = (AtomicBool::new(false), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let busy = scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                let used = other.begin().and_then(|op| random::bytes(&op, 32));
                begun.store(true, Ordering::Relaxed);
                used?;
            }
            Ok::<(), Error>(())
        });
        while !begun.load(Ordering::Relaxed) && !busy.is_finished() {
            std::thread::yield_now();
        }
        let ours = ours.with_deadline(Duration::from_secs(10));
        let results: Vec<_> = (0..20)
            .map(|_| ours.begin().and_then(|op| random::bytes(&op, 32)))
            .collect();
        done.store(true, Ordering::Relaxed);
        busy.join().expect("the thread does not panic")?;
        for result in results {
            result?;
        }
        Ok(())
    })
}

/// A bus interposer who changes a reply inside a session is noticed.
#[test]
fn a_reply_changed_on_the_bus_is_not_believed() -> TestResult {
    let swtpm = Swtpm::start();
    let tap = Tap::start(&swtpm);
    let tpm = tpm(&tap.tcti());
    let srk = Srk::find_or_create(&tpm.begin()?, &empty())?;
    // TPM2_Create answers in an HMAC session; the last 30 bytes belong to its HMAC.
    tap.inject(When::Next(0x153), Fault::Garble(-5));
    let forged = TokenKey::without_pin(&srk.open(&tpm.begin()?)?);
    assert_matches!(
        forged,
        Err(Error::ReplyForged {
            command: CommandCode::Create
        })
    );
    Ok(())
}

#[test]
fn a_signature_changed_on_the_bus_is_not_returned() -> TestResult {
    let swtpm = Swtpm::start();
    let tap = Tap::start(&swtpm);
    let tpm = tpm(&tap.tcti());
    let op = tpm.begin()?;
    let srk = Srk::find_or_create(&op, &empty())?;
    let token_key = TokenKey::without_pin(&srk.open(&op)?)?;
    let blob = token_key.create_key(&srk.open(&op)?, &empty(), KeyType::EccP256, Usage::SIGN)?;
    let ready = token_key.load_key(&srk.open(&op)?, &empty(), &KeyBlob::parse(blob)?)?;
    tap.inject(When::Next(0x15d), Fault::Garble(30));
    let forged = ready.sign(&op, Scheme::Ecdsa, &[1; 32]);
    assert_matches!(forged, Err(Error::WrongSignature));
    Ok(())
}

#[test]
fn response_codes_that_ask_to_wait_are_waited_for() -> TestResult {
    let swtpm = Swtpm::start();
    let tap = Tap::start(&swtpm);
    let tpm = tpm(&tap.tcti());
    // RETRY, YIELDED, TESTING, NV_RATE.
    for code in [0x922, 0x908, 0x90a, 0x920] {
        tap.inject(When::Nth(0), Fault::Answer(code));
        random::bytes(&tpm.begin()?, 8)?;
    }
    Ok(())
}

#[test]
fn other_response_codes_are_named() -> TestResult {
    let swtpm = Swtpm::start();
    let tap = Tap::start(&swtpm);
    let tpm = tpm(&tap.tcti());
    for (code, text) in [
        (0x101, "the TPM is in failure mode"),
        (0x100, "the TPM has not been started"),
        (0x921, "the TPM is in dictionary-attack lockout"),
        (0x143, "this TPM does not support TPM2_SelfTest"),
    ] {
        tap.inject(When::Nth(0), Fault::Answer(code));
        let err = selftest::full(&tpm.begin()?).expect_err("an injected fault");
        assert_eq!(err.to_string(), text);
    }
    Ok(())
}

#[test]
fn what_secrets_go_over_the_bus_is_not_to_be_seen_there() -> TestResult {
    let swtpm = Swtpm::start();
    let tap = Tap::start(&swtpm);
    let tpm = tpm(&tap.tcti());
    let op = tpm.begin()?;
    let owner = OwnerAuth::empty();
    let srk = Srk::find_or_create(&op, &owner)?;
    let so_pin = SoAuth::new(b"canary of the SO")?;
    let so_pin2 = SoAuth::new(b"canary of the next SO")?;
    let pin = PinAuth::new(b"canary PIN one")?;
    let pin2 = PinAuth::new(b"canary PIN two")?;
    let random = GuardAuth::new(b"canary of the change guard")?;
    let so = tpm_core::SoObject::create(&srk.open(&op)?, &so_pin, &random)?;
    let guard = tpm_core::ChangeGuard::create(&srk.open(&op)?, &random)?;
    let handle = tpm_core::PinCounter::pick_handle(&op)?;
    let counter = tpm_core::PinCounter::from_parts(handle, so.name(), guard.name());
    counter.define(&srk.open(&op)?, &owner, &so, &so_pin, &pin, 5)?;
    let token_key = TokenKey::behind_counter(&srk.open(&op)?, counter.clone())?;
    token_key.verify(&srk.open(&op)?, &pin)?;
    let sealed = token_key.seal(&srk.open(&op)?, &pin, &random)?;
    let secrets = [
        token_key.unseal(&srk.open(&op)?, &pin, &sealed)?,
        so.secret(&srk.open(&op)?, &so_pin)?,
    ];
    counter.change_auth(&srk.open(&op)?, (&guard, &secrets[0]), &pin, &pin2)?;
    counter.change_auth(&srk.open(&op)?, (&guard, &secrets[1]), &pin2, &pin)?;
    counter.set_auth(&srk.open(&op)?, &so, &so_pin, &pin)?;
    let so = so.change_auth(&srk.open(&op)?, &so_pin, &so_pin2)?;
    let lockout = TokenKey::behind_lockout(&srk.open(&op)?, &so, &pin)?;
    let lockout = lockout.change_auth(&srk.open(&op)?, &pin, &pin2)?;
    lockout.reset_auth(&srk.open(&op)?, &so, &so_pin2, &pin)?;
    tpm_core::ownership::change_auth(
        &srk.open(&op)?,
        tpm_core::ownership::Hierarchy::Owner,
        &AuthValue::empty(),
        &AuthValue::new(b"canary of the owner")?,
    )?;
    assert!(tap.exchanges().len() > 40, "the tap heard it all");
    assert!(!tap.saw(b"canary"), "a secret crossed the bus in the open");
    assert!(info::read(&op)?.auth_set.owner);
    Ok(())
}
