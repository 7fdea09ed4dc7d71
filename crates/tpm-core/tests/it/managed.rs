//! The same through a resource manager, tpm2-abrmd on a private message bus.
//!
//! libtss2 reads the address of the bus from the environment, so each test runs its body in a
//! child process: this very binary again, with that variable set.

use std::{env, process::Command};

use testing::{Abrmd, Swtpm, Tap};
use tpm_core::{KeyBlob, KeyType, Scheme, Srk, TokenKey, Tpm, Usage, info};

use crate::empty;

type TestResult = Result<(), Box<dyn std::error::Error>>;

const TCTI: &str = "TPMSSH_TEST_MANAGED_TCTI";

/// The TPM to be used, where this process is such a child.
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
        let (srk, token_key, key) = make_key(&tpm)?;
        let ready = token_key.load_key(&srk.open(&tpm.begin()?)?, &empty(), &key)?;
        for _ in 0..20 {
            ready.sign(&tpm.begin()?, Scheme::Ecdsa, &[1; 32])?;
        }
        return Ok(());
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
