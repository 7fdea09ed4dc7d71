//! Keys behind each wall, on a private swtpm.

use std::{
    io::{Read, Write},
    net::TcpStream,
};

use testing::{Fault, Swtpm, Tap, When, assert_matches};
use tpm_core::{
    AuthValue, ChangeGuard, Error, Hash, KeyBlob, KeyType, OwnerAuth, PinCounter, Scheme,
    Signature, SoObject, Srk, TokenKey, Tpm, Usage, Wall, info,
};

use crate::empty;

type TestResult = Result<(), Box<dyn std::error::Error>>;

fn tpm(tcti: &str) -> Tpm {
    Tpm::new(tcti.parse().expect("a TCTI of the test crate"))
}

fn auth<A: From<AuthValue>>(text: &str) -> A {
    AuthValue::new(text.as_bytes()).expect("short").into()
}

/// Transient objects and loaded sessions in the chip: none may be left by an operation.
fn assert_idle(tpm: &Tpm) -> TestResult {
    let op = tpm.begin()?;
    assert_eq!(
        info::handles(&op, 0x8000_0000, 0x80ff_ffff)?,
        [0; 0],
        "transient objects"
    );
    assert_eq!(
        info::handles(&op, 0x0200_0000, 0x02ff_ffff)?,
        [0; 0],
        "loaded sessions"
    );
    assert_eq!(info::read(&op)?.active_sessions, 0);
    Ok(())
}

struct Token {
    srk: Srk,
    so: SoObject,
    guard: ChangeGuard,
    key: TokenKey,
}

fn counter_token(tpm: &Tpm, limit: u32) -> Result<Token, Error> {
    let op = tpm.begin()?;
    let owner = OwnerAuth::empty();
    let srk = Srk::find_or_create(&op, &owner)?;
    let so = SoObject::create(&srk.open(&op)?, &auth("so"), &auth("secret"))?;
    let guard = ChangeGuard::create(&srk.open(&op)?, &auth("secret"))?;
    let handle = PinCounter::pick_handle(&op)?;
    let counter = PinCounter::from_parts(handle, so.name(), guard.name());
    counter.define(
        &srk.open(&op)?,
        &owner,
        &so,
        &auth("so"),
        &auth("pin"),
        limit,
    )?;
    let key = TokenKey::behind_counter(&srk.open(&op)?, counter)?;
    Ok(Token {
        srk,
        so,
        guard,
        key,
    })
}

fn lockout_token(tpm: &Tpm) -> Result<Token, Error> {
    let op = tpm.begin()?;
    let srk = Srk::find_or_create(&op, &empty())?;
    let so = SoObject::create(&srk.open(&op)?, &auth("so"), &auth("secret"))?;
    let guard = ChangeGuard::create(&srk.open(&op)?, &auth("secret"))?;
    let key = TokenKey::behind_lockout(&srk.open(&op)?, &so, &auth("pin"))?;
    Ok(Token {
        srk,
        so,
        guard,
        key,
    })
}

/// Sends three raw `TPM2_CreatePrimary` and hangs up: a client that died.
fn fill_transient_slots(port: u16) -> std::io::Result<()> {
    // An ECC P-256 storage key in the null hierarchy, with empty authorization.
    let command = "80020000004300000131400000070000000940000009000001000000040000\
        0000001a0023000b00030472000000060080004300100003001000000000000000000000";
    let bytes: Vec<u8> = (0..command.len())
        .step_by(2)
        .map(|i| u8::from_str_radix(&command[i..i + 2], 16).expect("hex"))
        .collect();
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    for _ in 0..3 {
        stream.write_all(&bytes)?;
        let mut header = [0; 10];
        stream.read_exact(&mut header)?;
        assert_eq!(header[6..], [0; 4], "{header:x?}");
        let size = u32::from_be_bytes([header[2], header[3], header[4], header[5]]);
        stream.read_exact(&mut vec![0; size as usize - 10])?;
    }
    Ok(())
}

fn counter(token: &Token) -> &PinCounter {
    match token.key.wall() {
        Wall::Counter(counter) => counter,
        _ => unreachable!("the token was made with a counter"),
    }
}

#[test]
fn every_key_type_signs_and_the_signature_verifies() -> TestResult {
    let swtpm = Swtpm::start();
    let tpm = tpm(&swtpm.tcti());
    let token = counter_token(&tpm, 5)?;
    let op = tpm.begin()?;
    let types = info::key_types(&op)?;
    assert_eq!(types, KeyType::ALL, "swtpm makes them all");
    for key_type in types {
        let blob =
            token
                .key
                .create_key(&token.srk.open(&op)?, &auth("pin"), key_type, Usage::SIGN)?;
        let key = KeyBlob::parse(blob)?;
        assert_eq!(key.key_type(), key_type);
        let ready = token
            .key
            .load_key(&token.srk.open(&op)?, &auth("pin"), &key)?;
        if key_type.is_rsa() {
            for hash in [Hash::Sha1, Hash::Sha256, Hash::Sha384, Hash::Sha512] {
                let digest = vec![7; hash.size()];
                for scheme in [Scheme::RsaPkcs1(hash), Scheme::RsaPss(hash)] {
                    let signature = ready.sign(&op, scheme, &digest)?;
                    assert!(key.public().verify(scheme, &digest, &signature));
                    assert!(
                        !key.public()
                            .verify(scheme, &vec![8; hash.size()], &signature)
                    );
                }
            }
            let short = ready.sign(&op, Scheme::RsaPkcs1(Hash::Sha256), &[7; 31]);
            assert_matches!(short, Err(Error::DigestLength(31)));
        } else {
            for length in [0, 1, 19, 20, 28, 32, 33, 48, 64] {
                let digest: Vec<u8> = (1..=length).collect();
                let signature = ready.sign(&op, Scheme::Ecdsa, &digest)?;
                assert!(
                    key.public().verify(Scheme::Ecdsa, &digest, &signature),
                    "{length}"
                );
            }
        }
    }
    drop(op);
    assert_idle(&tpm)
}

/// A chip that refuses to sign is played by the tap.
#[test]
fn what_a_chip_does_not_sign_itself_is_padded_outside_of_it() -> TestResult {
    const SIGN: u32 = 0x15d;
    let swtpm = Swtpm::start();
    let tap = Tap::start(&swtpm);
    let tpm = tpm(&tap.tcti());
    let op = tpm.begin()?;
    let srk = Srk::find_or_create(&op, &empty())?;
    let token_key = TokenKey::without_pin(&srk.open(&op)?)?;
    let make = |usage| -> Result<_, Error> {
        let blob = token_key.create_key(&srk.open(&op)?, &empty(), KeyType::Rsa2048, usage)?;
        token_key.load_key(&srk.open(&op)?, &empty(), &KeyBlob::parse(blob)?)
    };
    let (both, signing) = (make(Usage::SIGN_DECRYPT)?, make(Usage::SIGN)?);
    for code in [0x2c3, 0x2d2] {
        tap.inject(When::Command(SIGN), Fault::Answer(code));
        for hash in [Hash::Sha1, Hash::Sha256, Hash::Sha384, Hash::Sha512] {
            let digest = vec![7; hash.size()];
            for scheme in [Scheme::RsaPkcs1(hash), Scheme::RsaPss(hash)] {
                let signature = both.sign(&op, scheme, &digest)?;
                assert!(both.public().verify(scheme, &digest, &signature));
                let refused = signing.sign(&op, scheme, &digest);
                assert_matches!(refused, Err(Error::NotSupported(_)));
            }
        }
        tap.clear_faults();
    }
    // Any data can be padded; what the chip signs itself it signs itself.
    tap.reset();
    let any = Scheme::RsaPkcs1Any;
    for len in [0, 36, 83, 245] {
        let data = vec![9; len];
        let signature = both.sign(&op, any, &data)?;
        assert!(both.public().verify(any, &data, &signature));
    }
    let long = both.sign(&op, any, &[9; 246]);
    assert_matches!(long, Err(Error::DigestLength(246)));
    // The TPM is not to blame for that.
    let refused = signing
        .sign(&op, any, &[9; 36])
        .expect_err("a key for signing alone");
    assert_eq!(
        refused.to_string(),
        "this padding takes a key that may also decrypt"
    );
    let refused = both
        .sign(&op, Scheme::Ecdsa, &[9; 32])
        .expect_err("an RSA key");
    assert_matches!(refused, Error::InvalidArgument(_));
    assert_eq!(
        refused.to_string(),
        "this signature scheme is not for this type of key"
    );
    assert!(!tap.commands().contains(&SIGN));
    both.sign(&op, Scheme::RsaPss(Hash::Sha256), &[7; 32])?;
    assert!(tap.commands().contains(&SIGN));
    drop(op);
    assert_idle(&tpm)
}

#[test]
fn a_wrong_pin_costs_one_try_of_this_token_and_none_of_the_chip() -> TestResult {
    let swtpm = Swtpm::start();
    let tpm = tpm(&swtpm.tcti());
    let token = counter_token(&tpm, 3)?;
    let op = tpm.begin()?;
    let try_pin = |pin: &str| token.key.verify(&token.srk.open(&op)?, &auth(pin));
    for left in [2, 1] {
        assert_matches!(
            try_pin("wrong"),
            Err(Error::AuthRejected { counted: false, .. })
        );
        assert_eq!(counter(&token).state(&token.srk.open(&op)?)?.left(), left);
    }
    try_pin("pin")?;
    assert_eq!(counter(&token).state(&token.srk.open(&op)?)?.count, 0);
    for _ in 0..3 {
        let _ = try_pin("wrong");
    }
    assert_matches!(try_pin("pin"), Err(Error::PinExhausted));
    assert_eq!(info::read(&op)?.lockout.count, 0);
    // The SO lets the user in again.
    counter(&token).reset(&token.srk.open(&op)?, &token.so, &auth("so"), 3)?;
    try_pin("pin")?;
    drop(op);
    assert_idle(&tpm)
}

#[test]
fn the_user_and_the_so_change_the_pin_of_a_counter() -> TestResult {
    let swtpm = Swtpm::start();
    let tpm = tpm(&swtpm.tcti());
    let token = counter_token(&tpm, 5)?;
    let op = tpm.begin()?;
    let verify = |pin: &str| token.key.verify(&token.srk.open(&op)?, &auth(pin));
    let change = |old: &str, new: &str| {
        let secret = (&token.guard, &auth("secret"));
        counter(&token).change_auth(&token.srk.open(&op)?, secret, &auth(old), &auth(new))
    };
    change("pin", "pin2")?;
    assert!(verify("pin").is_err());
    verify("pin2")?;
    let wrong = change("pin", "pin3");
    assert_matches!(wrong, Err(Error::AuthRejected { .. }));
    assert_eq!(
        counter(&token).state(&token.srk.open(&op)?)?.count,
        1,
        "a wrong old PIN counts"
    );
    counter(&token).set_auth(&token.srk.open(&op)?, &token.so, &auth("so"), &auth("pin4"))?;
    verify("pin4")?;
    let wrong = counter(&token).set_auth(&token.srk.open(&op)?, &token.so, &auth("no"), &auth("x"));
    assert_matches!(wrong, Err(Error::AuthRejected { counted: true, .. }));
    drop(op);
    assert_idle(&tpm)
}

#[test]
fn lockout_mode_counts_in_the_chip_and_the_so_resets_it() -> TestResult {
    let swtpm = Swtpm::start();
    let tpm = tpm(&swtpm.tcti());
    let token = lockout_token(&tpm)?;
    let op = tpm.begin()?;
    let pin = auth("pin");
    token.key.verify(&token.srk.open(&op)?, &pin)?;
    let blob = token
        .key
        .create_key(&token.srk.open(&op)?, &pin, KeyType::EccP256, Usage::SIGN)?;
    let key = KeyBlob::parse(blob)?;
    let wrong = token
        .key
        .load_key(&token.srk.open(&op)?, &auth("wrong"), &key);
    assert_matches!(wrong, Err(Error::AuthRejected { counted: true, .. }));
    assert_eq!(info::read(&op)?.lockout.count, 1);

    let changed = token
        .key
        .change_auth(&token.srk.open(&op)?, &pin, &auth("pin2"))?;
    changed.load_key(&token.srk.open(&op)?, &auth("pin2"), &key)?;
    let reset = changed.reset_auth(&token.srk.open(&op)?, &token.so, &auth("so"), &auth("pin3"))?;
    reset.load_key(&token.srk.open(&op)?, &auth("pin3"), &key)?;
    // The old private part still answers to the old PIN: the limit of this mode.
    token.key.load_key(&token.srk.open(&op)?, &pin, &key)?;
    drop(op);
    assert_idle(&tpm)
}

/// Whoever gives a PIN believes that it guards something.
#[test]
fn a_pin_for_a_token_key_without_one_is_refused() -> TestResult {
    let swtpm = Swtpm::start();
    let tap = Tap::start(&swtpm);
    let tpm = tpm(&tap.tcti());
    let op = tpm.begin()?;
    let srk = Srk::find_or_create(&op, &empty())?;
    let root = srk.open(&op)?;
    let token_key = TokenKey::without_pin(&root)?;
    let blob = token_key.create_key(&root, &empty(), KeyType::EccP256, Usage::SIGN)?;
    let key = KeyBlob::parse(blob)?;
    tap.reset();
    for refused in [
        token_key.load_key(&root, &auth("pin"), &key).map(drop),
        token_key.verify(&root, &auth("pin")),
        token_key.open(&root, &auth("pin"), Some(&key)).map(drop),
    ] {
        let err = refused.expect_err("there is no PIN");
        assert_eq!(err.to_string(), "this token key has no PIN");
    }
    assert_eq!(tap.count(), 0, "the chip hears nothing of it");
    token_key.load_key(&root, &empty(), &key)?;
    Ok(())
}

/// It would wait for itself for ever.
#[test]
fn a_second_operation_on_one_thread_is_an_error_and_on_another_waits() -> TestResult {
    let swtpm = Swtpm::start();
    let tpm = tpm(&swtpm.tcti());
    let first = tpm.begin()?;
    let err = tpm.begin().expect_err("there is one already");
    assert_matches!(err, Error::AlreadyBegun);
    assert_eq!(
        err.to_string(),
        "this thread is in the middle of another operation with the TPM"
    );
    std::thread::scope(|scope| {
        let other = scope.spawn(|| info::read(&tpm.begin()?).map(drop));
        // The first one goes on as if nothing had been.
        let read = info::read(&first);
        drop(first);
        other.join().expect("no panic").and(read.map(drop))
    })?;
    // And the thread may begin again.
    drop(tpm.begin()?);
    assert!(tpm.begin().is_ok());
    Ok(())
}

#[test]
fn a_token_without_a_pin_opens_by_itself() -> TestResult {
    let swtpm = Swtpm::start();
    let tpm = tpm(&swtpm.tcti());
    let op = tpm.begin()?;
    let srk = Srk::find_or_create(&op, &empty())?;
    let token_key = TokenKey::without_pin(&srk.open(&op)?)?;
    let blob = token_key.create_key(
        &srk.open(&op)?,
        &empty(),
        KeyType::EccP256,
        Usage::SIGN_DECRYPT,
    )?;
    let key = token_key.load_key(&srk.open(&op)?, &empty(), &KeyBlob::parse(blob)?)?;
    let Signature::Ecdsa { r, s } = key.sign(&op, Scheme::Ecdsa, &[1; 32])? else {
        panic!("an ECDSA key makes ECDSA signatures");
    };
    assert_eq!((r.len(), s.len()), (32, 32));
    drop(op);
    assert_idle(&tpm)
}

#[test]
fn the_so_pin_changes_and_the_name_stays() -> TestResult {
    let swtpm = Swtpm::start();
    let tpm = tpm(&swtpm.tcti());
    let token = counter_token(&tpm, 5)?;
    let op = tpm.begin()?;
    let changed = token
        .so
        .change_auth(&token.srk.open(&op)?, &auth("so"), &auth("so2"))?;
    assert_eq!(changed.name(), token.so.name());
    changed.verify(&token.srk.open(&op)?, &auth("so2"))?;
    assert!(changed.verify(&token.srk.open(&op)?, &auth("so")).is_err());
    counter(&token).reset(&token.srk.open(&op)?, &changed, &auth("so2"), 4)?;
    assert_eq!(counter(&token).state(&token.srk.open(&op)?)?.limit, 4);
    drop(op);
    assert_idle(&tpm)
}

/// The budget of a cold login and signature on a bare connection, FlushContext aside.
#[test]
fn login_and_first_signature_cost_eight_commands_with_a_counter_and_six_in_lockout_mode()
-> TestResult {
    let swtpm = Swtpm::start();
    let tap = Tap::start(&swtpm);
    let tpm = tpm(&tap.tcti());
    for (token, budget) in [(counter_token(&tpm, 5)?, 8), (lockout_token(&tpm)?, 6)] {
        let pin = auth("pin");
        let op = tpm.begin()?;
        let blob =
            token
                .key
                .create_key(&token.srk.open(&op)?, &pin, KeyType::EccP256, Usage::SIGN)?;
        drop(op);
        let key = KeyBlob::parse(blob)?;
        tap.reset();
        let ready = token
            .key
            .open(&token.srk.open(&tpm.begin()?)?, &pin, Some(&key))?;
        let ready = ready.ok_or("no key came back")?;
        ready.sign(&tpm.begin()?, Scheme::Ecdsa, &[1; 32])?;
        assert_eq!(tap.count(), budget, "{:x?}", tap.commands());
        tap.reset();
        ready.sign(&tpm.begin()?, Scheme::Ecdsa, &[1; 32])?;
        assert_eq!(tap.count(), 2, "context load and sign");
    }
    Ok(())
}

#[test]
fn a_key_survives_neither_a_clear_nor_another_tpm() -> TestResult {
    let swtpm = Swtpm::start();
    let other = Swtpm::start();
    let here = tpm(&swtpm.tcti());
    let there = tpm(&other.tcti());
    let token = counter_token(&here, 5)?;
    let pin = auth("pin");
    let result = token.key.verify(&token.srk.open(&there.begin()?)?, &pin);
    assert_matches!(result, Err(Error::OtherTpm), "no SRK there: {result:?}");
    Srk::find_or_create(&there.begin()?, &empty())?;
    let result = token.key.verify(&token.srk.open(&there.begin()?)?, &pin);
    assert_matches!(
        result,
        Err(Error::OtherTpm),
        "another SRK there: {result:?}"
    );
    tpm_core::ownership::clear(&here.begin()?, None, &empty())?;
    Srk::find_or_create(&here.begin()?, &empty())?;
    let result = token.key.verify(&token.srk.open(&here.begin()?)?, &pin);
    assert_matches!(result, Err(Error::OtherTpm), "cleared: {result:?}");
    assert_idle(&here)
}

/// swtpm has three transient slots, so the fourth key fails if one leaks.
#[test]
fn what_a_crashed_program_left_is_flushed() -> TestResult {
    let swtpm = Swtpm::start();
    let tpm = tpm(&swtpm.tcti());
    let token = counter_token(&tpm, 5)?;
    let pin = auth("pin");
    let op = tpm.begin()?;
    let blob = token
        .key
        .create_key(&token.srk.open(&op)?, &pin, KeyType::EccP256, Usage::SIGN)?;
    drop(op);
    // Another client that loads three primary keys and goes away without flushing them.
    fill_transient_slots(swtpm.port())?;
    let key = KeyBlob::parse(blob)?;
    let ready = token
        .key
        .load_key(&token.srk.open(&tpm.begin()?)?, &pin, &key)?;
    ready.sign(&tpm.begin()?, Scheme::Ecdsa, &[1; 32])?;
    assert_idle(&tpm)
}
