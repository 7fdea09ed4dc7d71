//! Peculiarities of real chips: slow ones, ones that ask to wait, ones with other response codes.

use std::time::{Duration, Instant};

use testing::{Chip, Fault, Mood, Pace, State, Swtpm, Tap, When, Zoo, assert_matches};
use tpm_core::{
    Capabilities, ChangeGuard, Error, GuardAuth, KeyType, PinAuth, PinCounter, SoObject, Srk,
    TokenKey, Tpm, Usage, info, random,
};

use crate::empty;

type TestResult = Result<(), Box<dyn std::error::Error>>;

fn tpm(tcti: &str) -> Result<Tpm, Error> {
    Ok(Tpm::new(tcti.parse()?))
}

/// The longest time that a Nuvoton NPCT65x took is 109 s, the default deadline is 30 s. The test runs
/// with a twentieth of both.
#[test]
fn an_rsa_key_may_take_ten_times_the_deadline() -> TestResult {
    let part = 0.05;
    let zoo = Zoo::at_pace(
        Chip::named("ntc-1.3.0.1"),
        &[State::Systemd],
        Pace::Slowest(part),
    );
    let tpm = tpm(&zoo.tcti())?.with_deadline(Duration::from_secs_f64(30.0 * part));
    let op = tpm.begin()?;
    let srk = Srk::find_or_create(&op, &empty())?;
    let token_key = TokenKey::without_pin(&srk.open(&op)?)?;
    let start = Instant::now();
    token_key.create_key(&srk.open(&op)?, &empty(), KeyType::Rsa2048, Usage::SIGN)?;
    assert!(start.elapsed() > Duration::from_secs(5), "it was slow");
    drop(op);
    assert_eq!(zoo.left_over(), [0_u32; 0]);
    Ok(())
}

#[test]
fn a_chip_that_only_asks_for_patience_is_told_as_such() -> TestResult {
    for (rc, text) in [
        (0x90a, "the TPM is still testing itself"),
        (0x920, "the TPM limits how often its memory is written"),
        (0x922, "the TPM asks for the command again"),
    ] {
        let chip = Chip::named("ifx-7.85.17.51968").with_quirks(|quirks| {
            quirks.moods.push(Mood {
                rc,
                times: u32::MAX,
                every: 1,
                commands: Vec::new(),
            });
        });
        let zoo = Zoo::start(chip, &[State::Factory]);
        let tpm = tpm(&zoo.tcti())?.with_deadline(Duration::from_millis(300));
        let err = random::bytes(&tpm.begin()?, 8).expect_err("never answered");
        assert_matches!(err, Error::NotReady(_));
        assert_eq!(err.to_string(), text);
    }
    Ok(())
}

#[test]
fn what_a_chip_says_in_portions_is_read_to_the_end() -> TestResult {
    let at_once = Zoo::start(Chip::named("ntc-7.2.0.1"), &[State::Factory]);
    let in_portions = Chip::named("ntc-7.2.0.1").with_quirks(|quirks| {
        quirks.properties_per_reply = Some(3);
    });
    let in_portions = Zoo::start(in_portions, &[State::Factory]);
    let ask = |zoo: &Zoo| -> Result<_, Error> {
        let tpm = tpm(&zoo.tcti())?;
        let op = tpm.begin()?;
        Ok((info::read(&op)?, Capabilities::read(&op)?))
    };
    let (info, can) = ask(&in_portions)?;
    assert_eq!((info.clone(), can.clone()), ask(&at_once)?);
    assert_eq!(info.firmware_version(), [7, 2, 0, 1]);
    assert_eq!(info.lockout.max_tries, 32);
    assert_eq!(
        can.key_types(),
        [KeyType::EccP256, KeyType::EccP384, KeyType::Rsa2048]
    );
    assert!(!can.has_pin_indexes());
    Ok(())
}

/// ATTRIBUTES, RESERVED_BITS, VALUE and TYPE of parameter 2, and the first two without a number.
#[test]
fn a_pin_index_that_is_refused_is_not_supported_whatever_the_code() -> TestResult {
    let swtpm = Swtpm::start();
    let tap = Tap::start(&swtpm);
    let tpm = tpm(&tap.tcti())?;
    let op = tpm.begin()?;
    let srk = Srk::find_or_create(&op, &empty())?;
    let secret = GuardAuth::random();
    let so = SoObject::create(&srk.open(&op)?, &empty(), &secret)?;
    let guard = ChangeGuard::create(&srk.open(&op)?, &secret)?;
    let handle = PinCounter::pick_handle(&op)?;
    let counter = PinCounter::from_parts(handle, so.name(), guard.name());
    let root = srk.open(&op)?;
    let define = |code| {
        tap.inject(When::Next(0x12a), Fault::Answer(code));
        counter
            .define(&root, &empty(), &so, &empty(), &PinAuth::random(), 3)
            .expect_err("refused")
    };
    for code in [0x2c2, 0x2e1, 0x2c4, 0x2ca, 0x082, 0x0a1] {
        let err = define(code);
        assert_matches!(err, Error::NotSupported(_), "{code:#x}: {err}");
    }
    // The first parameter is the authorization value, and these are no types.
    for code in [0x1c4, 0x1d5, 0x2d5] {
        let err = define(code);
        assert_matches!(err, Error::Command { .. }, "{code:#x}: {err}");
    }
    Ok(())
}

/// Only some response codes mean a changed blob; the others keep their own errors.
#[test]
fn a_refusal_to_load_is_not_taken_for_damage() -> TestResult {
    let swtpm = Swtpm::start();
    let tap = Tap::start(&swtpm);
    let tpm = tpm(&tap.tcti())?;
    let op = tpm.begin()?;
    let srk = Srk::find_or_create(&op, &empty())?;
    let token_key = TokenKey::without_pin(&srk.open(&op)?)?;
    let root = srk.open(&op)?;
    let check = |code| {
        // Twice, because a command to a full chip is sent once more.
        tap.inject(When::Next(0x157), Fault::Answer(code));
        tap.inject(When::Next(0x157), Fault::Answer(code));
        let err = token_key.check(&root).expect_err("refused");
        tap.clear_faults();
        err
    };
    for code in [0x1df, 0x1d5, 0x155, 0x1e5, 0x19a] {
        let err = check(code);
        assert_matches!(err, Error::Integrity(_), "{code:#x}: {err}");
    }
    assert_matches!(check(0x904), Error::Full);
    assert_matches!(check(0x909), Error::NotReady(_));
    assert_matches!(check(0x923), Error::NotReady(_));
    for code in [0x2ca, 0x2c3, 0x2d2] {
        let err = check(code);
        assert_matches!(err, Error::Command { .. }, "{code:#x}: {err}");
    }
    Ok(())
}
