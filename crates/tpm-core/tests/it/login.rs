//! A login whose PIN is derived while the chip starts the session.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::Duration,
};

use testing::{Fault, Swtpm, Tap, When, assert_matches, eventually};
use tpm_core::{CommandCode, Error, KeyBlob, KeyType, PinAuth, Scheme, Srk, Usage};

use crate::{
    TestResult,
    token::{assert_idle, auth, counter, counter_token, lockout_token, tpm},
};

const START_AUTH_SESSION: u32 = 0x176;

#[test]
fn the_work_is_done_while_the_chip_starts_the_session() -> TestResult {
    let swtpm = Swtpm::start();
    let tap = Tap::start(&swtpm);
    let tpm = tpm(&tap.tcti());
    for token in [counter_token(&tpm, 5)?, lockout_token(&tpm)?] {
        let blob = {
            let op = tpm.begin()?;
            let root = token.srk.open(&op)?;
            let key = &token.key;
            key.create_key(&root, &auth("pin"), KeyType::EccP256, Usage::SIGN)?
        };
        let first = KeyBlob::parse(blob)?;
        tap.reset();
        {
            let op = tpm.begin()?;
            let root = token.srk.open(&op)?;
            token.key.open(&root, &auth("pin"), Some(&first))?;
        }
        let usual = tap.count();
        tap.reset();
        {
            let op = tpm.begin()?;
            let root = token.srk.open(&op)?;
            // Were the work done before the command is sent, it would wait in vain.
            let (login, pin) = root.begin_login(|| {
                eventually(|| tap.commands() == [START_AUTH_SESSION]);
                auth::<PinAuth>("pin")
            })?;
            let ready = token.key.open_in(login, &root, &pin, Some(&first))?;
            let ready = ready.ok_or("no key")?;
            assert_eq!(tap.count(), usual, "{:x?}", tap.commands());
            ready.sign(&op, Scheme::Ecdsa, &[1; 32])?;
        }
        assert_idle(&tpm)?;
    }
    Ok(())
}

#[test]
fn the_work_is_done_once_also_if_the_chip_asks_to_wait() -> TestResult {
    let swtpm = Swtpm::start();
    let tap = Tap::start(&swtpm);
    let tpm = tpm(&tap.tcti());
    let token = counter_token(&tpm, 5)?;
    let times = AtomicUsize::new(0);
    {
        let op = tpm.begin()?;
        let root = token.srk.open(&op)?;
        // TPM_RC_RETRY
        tap.inject(When::Next(START_AUTH_SESSION), Fault::Answer(0x922));
        let (login, pin) = root.begin_login(|| {
            times.fetch_add(1, Ordering::Relaxed);
            auth::<PinAuth>("pin")
        })?;
        assert!(token.key.open_in(login, &root, &pin, None)?.is_none());
    }
    assert_eq!(times.load(Ordering::Relaxed), 1);
    assert_idle(&tpm)
}

#[test]
fn a_wrong_pin_costs_one_try_and_a_login_without_a_proof_none() -> TestResult {
    let swtpm = Swtpm::start();
    let tpm = tpm(&swtpm.tcti());
    let token = counter_token(&tpm, 5)?;
    {
        let op = tpm.begin()?;
        let root = token.srk.open(&op)?;
        let (login, ()) = root.begin_login(|| ())?;
        drop(login);
        assert_eq!(counter(&token).state(&root)?.left(), 5);
        let (login, pin) = root.begin_login(|| auth::<PinAuth>("pin2"))?;
        let wrong = token.key.open_in(login, &root, &pin, None);
        assert_matches!(wrong, Err(Error::AuthRejected { .. }));
        assert_eq!(counter(&token).state(&root)?.left(), 4);
    }
    assert_idle(&tpm)
}

#[test]
fn long_work_is_not_counted_as_the_chips() -> TestResult {
    let swtpm = Swtpm::start();
    let deadline = Duration::from_secs(2);
    let token = counter_token(&tpm(&swtpm.tcti()), 5)?;
    let tpm = tpm(&swtpm.tcti()).with_deadline(deadline);
    let op = tpm.begin()?;
    let root = token.srk.open(&op)?;
    let (login, pin) = root.begin_login(|| {
        thread::sleep(deadline + Duration::from_millis(100));
        auth::<PinAuth>("pin")
    })?;
    assert!(token.key.open_in(login, &root, &pin, None)?.is_none());
    Ok(())
}

#[test]
fn another_tpm_is_named_and_learns_nothing() -> TestResult {
    let (swtpm, other) = (Swtpm::start(), Swtpm::start());
    let token = counter_token(&tpm(&swtpm.tcti()), 5)?;
    let without = tpm(&other.tcti());
    {
        let op = without.begin()?;
        let root = token.srk.open(&op)?;
        assert_matches!(root.begin_login(|| ()).err(), Some(Error::OtherTpm));
    }
    // With a storage root key of its own, it shows as soon as the session is used.
    Srk::find_or_create(&without.begin()?, &crate::empty())?;
    let tap = Tap::start(&other);
    let with = tpm(&tap.tcti());
    let op = with.begin()?;
    let root = token.srk.open(&op)?;
    let failed = root.begin_login(|| auth::<PinAuth>("pin"));
    let failed = failed.and_then(|(login, pin)| token.key.open_in(login, &root, &pin, None));
    assert_matches!(failed, Err(Error::OtherTpm));
    let proofs = CommandCode::PolicySecret.value();
    assert!(!tap.commands().contains(&proofs), "{:x?}", tap.commands());
    Ok(())
}
