//! Keys behind each wall, on a private swtpm.

use std::{
    io::{Read, Write},
    net::TcpStream,
};

use testing::{Fault, Swtpm, Tap, When, assert_matches};
use tpm_core::{Error, Hash, KeyBlob, KeyType, Scheme, Signature, Srk, TokenKey, Usage, info};

use crate::{
    TestResult, empty,
    token::{assert_idle, auth, counter_token, lockout_token, tpm},
};

/// Sends three raw `TPM2_CreatePrimary` and hangs up: a client that died.
fn fill_transient_slots(port: u16) -> std::io::Result<()> {
    // An ECC P-256 storage key in the null hierarchy, with empty authorization.
    let command = "80020000004300000131400000070000000940000009000001000000040000\
        0000001a0023000b00030472000000060080004300100003001000000000000000000000";
    let bytes = base16ct::lower::decode_vec(command).expect("hexadecimal");
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
    // Any data can be padded. The chip's own schemes are not padded outside.
    tap.reset();
    let any = Scheme::RsaPkcs1Any;
    for len in [0, 36, 83, 245] {
        let data = vec![9; len];
        let signature = both.sign(&op, any, &data)?;
        assert!(both.public().verify(any, &data, &signature));
    }
    let long = both.sign(&op, any, &[9; 246]);
    assert_matches!(long, Err(Error::DigestLength(246)));
    // The key cannot do this, whatever the TPM supports.
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

/// Without the error, the thread would wait for itself for ever.
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
        // The first one still works.
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
