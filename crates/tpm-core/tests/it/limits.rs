//! Chips that do not keep to the specification, and the protection that holds all the same.

use testing::{Swtpm, assert_matches};
use tpm_core::{
    AuthValue, ChangeGuard, Error, GuardAuth, Operation, OwnerAuth, PinCounter, SoObject, Srk,
    TokenKey, Tpm,
};

type TestResult = Result<(), Box<dyn std::error::Error>>;

fn auth<A: From<AuthValue>>(text: &str) -> A {
    AuthValue::new(text.as_bytes()).expect("short").into()
}

/// A token whose PIN counter was used up by wrong PINs.
fn exhausted(op: &Operation<'_>, secret: &GuardAuth) -> Result<Exhausted, Error> {
    let owner = OwnerAuth::empty();
    let srk = Srk::find_or_create(op, &owner)?;
    let so = SoObject::create(&srk.open(op)?, &auth("so"), secret)?;
    let guard = ChangeGuard::create(&srk.open(op)?, secret)?;
    let handle = PinCounter::pick_handle(op)?;
    let counter = PinCounter::from_parts(handle, so.name(), guard.name());
    counter.define(&srk.open(op)?, &owner, &so, &auth("so"), &auth("pin"), 2)?;
    let key = TokenKey::behind_counter(&srk.open(op)?, counter.clone())?;
    let sealed = key.seal(&srk.open(op)?, &auth("pin"), secret)?;
    for _ in 0..2 {
        assert!(key.verify(&srk.open(op)?, &auth("wrong")).is_err());
    }
    Ok(Exhausted {
        srk,
        counter,
        guard,
        key,
        sealed,
    })
}

struct Exhausted {
    srk: Srk,
    counter: PinCounter,
    guard: ChangeGuard,
    key: TokenKey,
    sealed: tpm_core::Blob,
}

/// The thief has the store, the machine and a program of his own. Even the right PIN, which he
/// might guess next, brings him no further.
#[test]
fn the_pin_of_an_exhausted_counter_cannot_be_guessed_by_changing_it() -> TestResult {
    let swtpm = Swtpm::start();
    let tpm = Tpm::new(swtpm.tcti().parse()?);
    let op = tpm.begin()?;
    let token = exhausted(&op, &GuardAuth::random())?;
    let (srk, pin) = (&token.srk, auth("pin"));
    let unsealed = token.key.unseal(&srk.open(&op)?, &pin, &token.sealed);
    assert_matches!(unsealed, Err(Error::PinExhausted));
    for guess in [GuardAuth::empty(), auth("pin"), GuardAuth::random()] {
        let changed = token.counter.change_auth(
            &srk.open(&op)?,
            (&token.guard, &guess),
            &pin,
            &auth("thief"),
        );
        assert_matches!(changed, Err(Error::AuthRejected { .. }));
    }
    Ok(())
}

/// Why there is a change guard: libtpms 0.9.2 does not look at the limit here. If this fails,
/// the chip has become stricter, and the text of `change_guard.rs` out of date.
#[test]
fn a_chip_lets_who_has_the_secret_change_the_pin_of_an_exhausted_counter() -> TestResult {
    let swtpm = Swtpm::start();
    let tpm = Tpm::new(swtpm.tcti().parse()?);
    let op = tpm.begin()?;
    let secret = GuardAuth::random();
    let token = exhausted(&op, &secret)?;
    let verified = token.key.verify(&token.srk.open(&op)?, &auth("pin"));
    assert_matches!(verified, Err(Error::PinExhausted));
    let change = (&token.guard, &secret);
    let wrong =
        token
            .counter
            .change_auth(&token.srk.open(&op)?, change, &auth("wrong"), &auth("new"));
    assert!(wrong.is_err());
    token
        .counter
        .change_auth(&token.srk.open(&op)?, change, &auth("pin"), &auth("new"))?;
    Ok(())
}
