//! What the walls do not hold, each as a test: when one of these fails, a limit is gone and
//! SECURITY.md has to be changed.

use testing::Swtpm;
use tpm_core::{AuthValue, Error, PinCounter, SoObject, Srk, TokenKey, Tpm, Wall};

/// libtpms 0.9.2 checks the limit of a PIN index when its value proves something, but not
/// when a policy with `PolicyAuthValue` changes it: guessing goes on there.
#[test]
fn the_pin_of_an_exhausted_counter_can_still_be_guessed_by_changing_it()
-> Result<(), Box<dyn std::error::Error>> {
    let swtpm = Swtpm::start();
    let tpm = Tpm::new(swtpm.tcti().parse()?);
    let op = tpm.begin()?;
    let auth = |text: &str| AuthValue::new(text.as_bytes());
    let (owner, so_pin, pin) = (AuthValue::empty(), auth("so")?, auth("pin")?);
    let srk = Srk::find_or_create(&op, &owner)?;
    let so = SoObject::create(&op, &srk, &so_pin)?;
    let handle = PinCounter::pick_handle(&op)?;
    let counter = PinCounter::define(&op, &srk, &owner, handle, &so, &so_pin, &pin, 2)?;
    let key = TokenKey::create(&op, &srk, Wall::Counter(counter.clone()), &owner)?;
    for _ in 0..2 {
        assert!(key.verify(&op, &srk, &auth("wrong")?).is_err());
    }
    assert!(matches!(
        key.verify(&op, &srk, &pin),
        Err(Error::PinExhausted)
    ));
    // The limit holds where the PIN opens the token. Here it does not.
    assert!(
        counter
            .change_auth(&op, &srk, &auth("wrong")?, &pin)
            .is_err()
    );
    counter.change_auth(&op, &srk, &pin, &auth("thief")?)?;
    Ok(())
}
