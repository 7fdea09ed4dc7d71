//! The public API through a resource manager, tpm2-abrmd on a private message bus.
//!
//! The address of the bus is in the environment, so each test runs its body in a child process:
//! this very binary again, with that variable set.

use std::{
    env,
    process::Command,
    thread,
    time::{Duration, Instant},
};

use testing::{Abrmd, Fault, Swtpm, Tap, When, assert_matches};
use tpm_core::{Error, KeyBlob, KeyType, Scheme, Srk, TokenKey, Tpm, Usage, info, random};

use crate::empty;

type TestResult = Result<(), Box<dyn std::error::Error>>;

const TCTI: &str = "TPMSSH_TEST_MANAGED_TCTI";

/// The TPM to use, if this process is such a child; `None` in the parent.
fn in_child() -> Result<Option<Tpm>, tpm_core::Error> {
    env::var(TCTI)
        .ok()
        .map(|tcti| tcti.parse().map(Tpm::new))
        .transpose()
}

/// Runs the test `name` of this binary again, connected to `abrmd`.
fn rerun(name: &str, abrmd: &Abrmd) -> TestResult {
    let output = Command::new(env::current_exe()?)
        .args(["--exact", &format!("managed::{name}"), "--nocapture"])
        .envs(abrmd.env())
        .env(TCTI, abrmd.tcti())
        .output()?;
    let errors = String::from_utf8_lossy(&output.stderr);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{errors}{said}");
    assert!(said.contains("1 passed"), "the body ran: {said}");
    assert_eq!(errors, "", "libraries print nothing");
    Ok(())
}

fn make_key(tpm: &Tpm) -> Result<(Srk, TokenKey, KeyBlob), tpm_core::Error> {
    let op = tpm.begin()?;
    let srk = Srk::find_or_create(&op, &empty())?;
    let token_key = TokenKey::without_pin(&srk.open(&op)?)?;
    let blob = token_key.create_key(&srk.open(&op)?, &empty(), KeyType::EccP256, Usage::SIGN)?;
    Ok((srk, token_key, KeyBlob::parse(blob)?))
}

#[test]
fn the_second_signature_is_one_command() -> TestResult {
    let Some(tpm) = in_child()? else {
        let swtpm = Swtpm::start();
        let tap = Tap::start(&swtpm);
        let abrmd = Abrmd::behind(&tap);
        rerun("the_second_signature_is_one_command", &abrmd)?;
        let signs = tap.commands().iter().filter(|&&code| code == 0x15d).count();
        assert_eq!(signs, 4);
        // ContextLoad by the client itself would be one more per signature: what the resource
        // manager swaps is one key, in and out around each command.
        return Ok(());
    };
    let (srk, token_key, key) = make_key(&tpm)?;
    let ready = token_key.load_key(&srk.open(&tpm.begin()?)?, &empty(), &key)?;
    for _ in 0..4 {
        ready.sign(&tpm.begin()?, Scheme::Ecdsa, &[1; 32])?;
    }
    let op = tpm.begin()?;
    let loaded = info::handles(&op, 0x8000_0000, 0x80ff_ffff)?;
    assert_eq!(loaded.len(), 1, "the key in use and nothing else stays");
    Ok(())
}

#[test]
fn many_keys_take_turns_in_one_slot() -> TestResult {
    let Some(tpm) = in_child()? else {
        let swtpm = Swtpm::start();
        return rerun("many_keys_take_turns_in_one_slot", &Abrmd::start(&swtpm));
    };
    let (srk, token_key, first) = make_key(&tpm)?;
    let mut keys = vec![token_key.load_key(&srk.open(&tpm.begin()?)?, &empty(), &first)?];
    for _ in 0..5 {
        let op = tpm.begin()?;
        let blob =
            token_key.create_key(&srk.open(&op)?, &empty(), KeyType::EccP256, Usage::SIGN)?;
        keys.push(token_key.load_key(&srk.open(&op)?, &empty(), &KeyBlob::parse(blob)?)?);
    }
    for _ in 0..3 {
        for key in &keys {
            key.sign(&tpm.begin()?, Scheme::Ecdsa, &[1; 32])?;
        }
    }
    Ok(())
}

#[test]
fn several_processes_share_the_chip() -> TestResult {
    if let Some(tpm) = in_child()? {
        let work = || -> TestResult {
            let (srk, token_key, key) = make_key(&tpm)?;
            let ready = token_key.load_key(&srk.open(&tpm.begin()?)?, &empty(), &key)?;
            for _ in 0..20 {
                ready.sign(&tpm.begin()?, Scheme::Ecdsa, &[1; 32])?;
            }
            Ok(())
        };
        // Now and then the manager loses an object between two commands. The caller then loads the key again.
        return match work() {
            Err(err) if matches!(err.downcast_ref(), Some(Error::Stale)) => work(),
            other => other,
        };
    }
    let swtpm = Swtpm::start();
    let abrmd = Abrmd::start(&swtpm);
    std::thread::scope(|scope| {
        let children: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    rerun("several_processes_share_the_chip", &abrmd).map_err(|err| err.to_string())
                })
            })
            .collect();
        for child in children {
            child.join().expect("the thread does not panic")?;
        }
        Ok(())
    })
}

#[test]
fn a_manager_that_makes_room_late_is_waited_for() -> TestResult {
    let Some(tpm) = in_child()? else {
        let swtpm = Swtpm::start();
        let tap = Tap::start(&swtpm);
        let abrmd = Abrmd::behind(&tap);
        for _ in 0..3 {
            // TPM2_Create and TPM_RC_OBJECT_MEMORY.
            tap.inject(When::Next(0x153), Fault::Answer(0x902));
        }
        return rerun("a_manager_that_makes_room_late_is_waited_for", &abrmd);
    };
    make_key(&tpm)?;
    Ok(())
}

/// tpm2-abrmd takes 27 connections.
const PLACES: usize = 27;

#[test]
fn a_full_manager_is_waited_for_and_is_busy_at_the_deadline() -> TestResult {
    let Some(tpm) = in_child()? else {
        let swtpm = Swtpm::start();
        let abrmd = Abrmd::start(&swtpm);
        return rerun(
            "a_full_manager_is_waited_for_and_is_busy_at_the_deadline",
            &abrmd,
        );
    };
    let mut others: Vec<_> = (0..PLACES).map(|_| Tpm::new(tpm.tcti().clone())).collect();
    for other in &others {
        random::bytes(&other.begin()?, 8)?;
    }
    let tpm = tpm.with_deadline(Duration::from_millis(700));
    let before = Instant::now();
    let refused = tpm.begin();
    assert_matches!(refused, Err(Error::Busy));
    assert!(before.elapsed() >= Duration::from_millis(700));
    drop(refused);
    let tpm = tpm.with_deadline(Duration::from_secs(30));
    thread::scope(|scope| {
        let waits = scope.spawn(|| tpm.begin().and_then(|op| random::bytes(&op, 8)));
        thread::sleep(Duration::from_millis(300));
        assert!(!waits.is_finished(), "there is no place");
        others.pop();
        waits.join().expect("the thread does not panic")
    })?;
    Ok(())
}

#[test]
fn an_idle_connection_is_given_back_and_the_key_on_it_kept() -> TestResult {
    let Some(tpm) = in_child()? else {
        let swtpm = Swtpm::start();
        let abrmd = Abrmd::start(&swtpm);
        return rerun(
            "an_idle_connection_is_given_back_and_the_key_on_it_kept",
            &abrmd,
        );
    };
    let (srk, token_key, key) = make_key(&tpm)?;
    let ready = token_key.load_key(&srk.open(&tpm.begin()?)?, &empty(), &key)?;
    ready.sign(&tpm.begin()?, Scheme::Ecdsa, &[1; 32])?;
    assert!(!tpm.rest(Duration::from_secs(600)), "it is not idle yet");
    {
        let _op = tpm.begin()?;
        thread::scope(|scope| {
            let rests = scope.spawn(|| tpm.rest(Duration::ZERO));
            assert!(!rests.join().expect("no panic"), "it is in use");
        });
    }
    assert!(tpm.rest(Duration::ZERO));
    let others: Vec<_> = (0..PLACES).map(|_| Tpm::new(tpm.tcti().clone())).collect();
    for other in &others {
        random::bytes(&other.begin()?, 8)?;
    }
    drop(others);
    ready.sign(&tpm.begin()?, Scheme::Ecdsa, &[1; 32])?;
    Ok(())
}

#[test]
fn a_program_that_shares_keeps_no_place_after_a_signature() -> TestResult {
    let Some(tpm) = in_child()? else {
        let swtpm = Swtpm::start();
        let abrmd = Abrmd::start(&swtpm);
        return rerun(
            "a_program_that_shares_keeps_no_place_after_a_signature",
            &abrmd,
        );
    };
    let (srk, token_key, key) = make_key(&tpm)?;
    let programs: Vec<_> = (0..2 * PLACES)
        .map(|_| Tpm::new(tpm.tcti().clone()).sharing())
        .collect();
    for program in &programs {
        let ready = token_key.load_key(&srk.open(&program.begin()?)?, &empty(), &key)?;
        ready.sign(&program.begin()?, Scheme::Ecdsa, &[1; 32])?;
    }
    // A program that keeps signing keeps its connection, and with it the key.
    let ready = token_key.load_key(&srk.open(&programs[0].begin()?)?, &empty(), &key)?;
    for _ in 0..3 {
        ready.sign(&programs[0].begin()?, Scheme::Ecdsa, &[1; 32])?;
    }
    Ok(())
}

/// The manager, or the bus, is there and says nothing.
#[test]
fn a_manager_that_hangs_costs_one_deadline() -> TestResult {
    let Some(tpm) = in_child()? else {
        let swtpm = Swtpm::start();
        let abrmd = Abrmd::start(&swtpm);
        abrmd.pause();
        return rerun("a_manager_that_hangs_costs_one_deadline", &abrmd);
    };
    let tpm = tpm.with_deadline(Duration::from_millis(1500));
    let before = Instant::now();
    // All of them wait for the same.
    thread::scope(|scope| {
        let waits: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| tpm.begin().map(drop)))
            .collect();
        for wait in waits {
            let result = wait.join().expect("the thread does not panic");
            assert_matches!(result, Err(Error::Timeout { .. }));
        }
    });
    let waited = before.elapsed();
    assert!(waited < Duration::from_millis(3 * 1500), "{waited:?}");
    Ok(())
}
