//! PINs behind each wall: wrong ones are counted, and the user and the SO change them.

use testing::{Swtpm, Tap, assert_matches};
use tpm_core::{Error, KeyBlob, KeyType, Srk, TokenKey, Usage, info};

use crate::{
    TestResult, empty,
    token::{assert_idle, auth, counter, counter_token, lockout_token, tpm},
};

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
    // The old private part still opens with the old PIN: the lockout wall cannot prevent that.
    token.key.load_key(&token.srk.open(&op)?, &pin, &key)?;
    drop(op);
    assert_idle(&tpm)
}

/// A caller that gives a PIN expects that the PIN protects the key.
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
