//! Taking the chip into ownership, and everything that goes with it.

use testing::{Swtpm, Tap, assert_matches};
use tpm_core::{
    AuthValue, ChangeGuard, Entity, Error, OwnerAuth, PinCounter, SoObject, Srk, Tpm,
    ek::{self, EkType},
    info,
    lockout::{self, Parameters},
    ownership::{self, Hierarchy},
    persistent, random, selftest,
};

use crate::empty;

type TestResult = Result<(), Box<dyn std::error::Error>>;

fn tpm(swtpm: &Swtpm) -> Tpm {
    Tpm::new(swtpm.tcti().parse().expect("a TCTI of the test crate"))
}

fn auth<A: From<AuthValue>>(text: &str) -> A {
    AuthValue::new(text.as_bytes()).expect("short").into()
}

#[test]
fn the_chip_says_what_it_is() -> TestResult {
    let swtpm = Swtpm::start();
    let tpm = tpm(&swtpm);
    let op = tpm.begin()?;
    let info = info::read(&op)?;
    assert_eq!(info.manufacturer, "IBM");
    assert!(info.emulated);
    assert!(info.spec_revision >= 138, "{}", info.spec_revision);
    assert!(info.enabled.owner && info.enabled.endorsement);
    assert!(!info.auth_set.owner && !info.lockout.active && !info.clear_disabled);
    assert_eq!(info.lockout.count, 0);
    selftest::full(&op)?;
    selftest::incremental(&op)?;
    assert_eq!(selftest::result(&op)?.outcome, selftest::Outcome::Passed);
    assert!(selftest::algorithms(&op, &[0x000b])?.is_empty());
    let (one, two) = (random::bytes(&op, 100)?, random::bytes(&op, 100)?);
    assert_eq!(one.len(), 100);
    assert_ne!(one, two);
    Ok(())
}

#[test]
fn the_owner_sets_changes_and_removes_every_authorization() -> TestResult {
    let swtpm = Swtpm::start();
    let tpm = tpm(&swtpm);
    let op = tpm.begin()?;
    let srk = Srk::find_or_create(&op, &empty())?;
    for hierarchy in Hierarchy::ALL {
        ownership::change_auth(&srk.open(&op)?, hierarchy, &empty(), &auth("first"))?;
        ownership::change_auth(&srk.open(&op)?, hierarchy, &auth("first"), &auth("second"))?;
    }
    let set = info::read(&op)?.auth_set;
    assert!(set.owner && set.endorsement && set.lockout);
    let wrong = ownership::change_auth(&srk.open(&op)?, Hierarchy::Owner, &auth("first"), &empty());
    assert_matches!(
        wrong,
        Err(Error::AuthRejected {
            entity: Entity::Owner,
            counted: false
        })
    );
    for hierarchy in Hierarchy::ALL {
        ownership::change_auth(&srk.open(&op)?, hierarchy, &auth("second"), &empty())?;
    }
    assert!(!info::read(&op)?.auth_set.owner);
    Ok(())
}

#[test]
fn without_the_owners_authorization_nothing_is_provisioned_but_everything_is_used() -> TestResult {
    let swtpm = Swtpm::start();
    let tpm = tpm(&swtpm);
    let op = tpm.begin()?;
    let srk = Srk::find_or_create(&op, &empty())?;
    ownership::change_auth(&srk.open(&op)?, Hierarchy::Owner, &empty(), &auth("owner"))?;
    let so = SoObject::create(&srk.open(&op)?, &auth("so"), &auth("secret"))?;
    let guard = ChangeGuard::create(&srk.open(&op)?, &auth("secret"))?;
    let handle = PinCounter::pick_handle(&op)?;
    let counter = PinCounter::from_parts(handle, so.name(), guard.name());
    let define = |owner: &OwnerAuth| {
        counter.define(&srk.open(&op)?, owner, &so, &auth("so"), &auth("pin"), 5)
    };
    assert_matches!(define(&empty()), Err(Error::AuthRejected { .. }));
    define(&auth("owner"))?;
    assert_eq!(PinCounter::list(&op)?, [handle]);
    assert_matches!(define(&auth("owner")), Err(Error::NvDefined(at)) if at == handle);
    assert_matches!(
        counter.undefine(&srk.open(&op)?, &empty()),
        Err(Error::AuthRejected { .. })
    );
    counter.undefine(&srk.open(&op)?, &auth("owner"))?;
    assert_matches!(counter.state(&srk.open(&op)?), Err(Error::NvMissing(at)) if at == handle);
    Ok(())
}

#[test]
fn an_absent_srk_is_made_by_the_owner_alone() -> TestResult {
    let swtpm = Swtpm::start();
    let tpm = tpm(&swtpm);
    let op = tpm.begin()?;
    assert!(Srk::find(&op)?.is_none());
    let srk = Srk::find_or_create(&op, &empty())?;
    assert!(srk.is_persistent());
    assert_eq!(Srk::from_bytes(&srk.to_bytes())?, srk);
    for cut in 0..srk.to_bytes().len() {
        assert!(Srk::from_bytes(&srk.to_bytes()[..cut]).is_err());
    }
    srk.check(&op)?;
    Ok(())
}

/// The SRK comes from the owner's seed and the template alone: made anew it is the same key.
#[test]
fn an_srk_that_is_made_anew_is_the_same_key() -> TestResult {
    let swtpm = Swtpm::start();
    let tpm = tpm(&swtpm);
    let op = tpm.begin()?;
    let srk = Srk::make_anew(&op, &empty())?;
    assert_eq!(srk.has_password(&op)?, Some(false));
    ownership::change_auth(&srk.open(&op)?, Hierarchy::Owner, &empty(), &auth("owner"))?;
    let refused = Srk::make_anew(&op, &auth("wrong"));
    assert_matches!(refused, Err(Error::AuthRejected { .. }));
    srk.check(&op)?;
    assert_eq!(Srk::make_anew(&op, &auth("owner"))?, srk);
    Ok(())
}

/// Whoever records the bus could try guesses of a password that is proven in an unsalted
/// session, so such a session is used only if there is no SRK to salt to.
#[test]
fn a_password_is_proven_in_a_session_that_is_salted_to_the_srk() -> TestResult {
    let swtpm = Swtpm::start();
    let tap = Tap::start(&swtpm);
    let tpm = Tpm::new(tap.tcti().parse()?);
    let op = tpm.begin()?;
    let srk = Srk::find_or_create(&op, &empty())?;
    for hierarchy in Hierarchy::ALL {
        ownership::change_auth(&srk.open(&op)?, hierarchy, &empty(), &auth("set"))?;
    }
    tap.reset();
    ek::create(&op, Some(&srk), EkType::EccP256, &auth("set"), &auth("set"))?;
    lockout::reset(&op, Some(&srk), &auth("set"))?;
    lockout::reset(&op, None, &auth("set"))?;
    Srk::make_anew(&op, &auth("set"))?;
    // TPM2_StartAuthSession begins with the key that the salt is encrypted to.
    let sessions: Vec<_> = tap
        .exchanges()
        .iter()
        .filter(|exchange| exchange.code() == 0x176)
        .map(|exchange| exchange.command[10..14].to_vec())
        .collect();
    // With a storage root key: one session makes the endorsement key and makes it persistent, one is
    // for the reset.
    let root = [0x81, 0x00, 0x00, 0x01];
    // Without one: the reset is salted to a temporary key. `make_anew` salts to a temporary key, and
    // then to the new root for removing the old one and for making the new one persistent.
    let transient = [0x80, 0x00, 0x00, 0x00];
    assert_eq!(
        sessions,
        [root, root, transient, transient, transient, transient]
    );
    Ok(())
}

#[test]
fn the_keys_that_the_chip_keeps_are_listed() -> TestResult {
    let swtpm = Swtpm::start();
    let tpm = tpm(&swtpm);
    let op = tpm.begin()?;
    assert!(persistent::list(&op)?.is_empty());
    Srk::find_or_create(&op, &empty())?;
    ek::create(&op, None, EkType::Rsa2048, &empty(), &empty())?;
    let kept = persistent::list(&op)?;
    let handles: Vec<_> = kept.iter().map(|key| key.handle).collect();
    assert_eq!(handles, [0x8100_0001, 0x8101_0001]);
    assert!(kept.iter().all(|key| !key.has_roca));
    Ok(())
}

#[test]
fn endorsement_keys_are_made_once_and_found_again() -> TestResult {
    let swtpm = Swtpm::start();
    let tpm = tpm(&swtpm);
    let op = tpm.begin()?;
    for ek_type in EkType::ALL {
        assert!(ek::find(&op, ek_type)?.is_none());
        assert!(ek::certificate(&op, ek_type)?.is_none());
        let made = ek::create(&op, None, ek_type, &empty(), &empty())?;
        assert_eq!(ek::create(&op, None, ek_type, &empty(), &empty())?, made);
    }
    Ok(())
}

#[test]
fn a_manufactured_chip_has_an_endorsement_key_with_a_certificate() -> TestResult {
    let swtpm = Swtpm::manufactured();
    let tpm = tpm(&swtpm);
    let op = tpm.begin()?;
    let ek = ek::find(&op, EkType::Rsa2048)?.ok_or("swtpm_setup makes one")?;
    assert_eq!(ek.name.bytes().len(), 34);
    let der = ek::certificate(&op, EkType::Rsa2048)?.ok_or("and its certificate")?;
    let stated = 4 + usize::from(u16::from_be_bytes([der[2], der[3]]));
    assert_eq!((der[0], der.len()), (0x30, stated));
    Ok(())
}

#[test]
fn the_lockout_is_set_reached_and_reset() -> TestResult {
    let swtpm = Swtpm::start();
    let tpm = tpm(&swtpm);
    let op = tpm.begin()?;
    let srk = Srk::find_or_create(&op, &empty())?;
    lockout::set_parameters(
        &op,
        None,
        &empty(),
        Parameters {
            max_tries: 2,
            interval: 600,
            recovery: 300,
        },
    )?;
    let state = info::read(&op)?.lockout;
    assert_eq!(
        (state.max_tries, state.interval, state.recovery),
        (2, 600, 300)
    );
    let so = SoObject::create(&srk.open(&op)?, &auth("so"), &auth("secret"))?;
    for _ in 0..2 {
        assert_matches!(
            so.verify(&srk.open(&op)?, &auth("wrong")),
            Err(Error::AuthRejected { counted: true, .. })
        );
    }
    assert_matches!(so.verify(&srk.open(&op)?, &auth("so")), Err(Error::Lockout));
    assert!(info::read(&op)?.lockout.active);
    ownership::change_auth(
        &srk.open(&op)?,
        Hierarchy::Lockout,
        &empty(),
        &auth("lockout"),
    )?;
    lockout::reset(&op, None, &auth("lockout"))?;
    so.verify(&srk.open(&op)?, &auth("so"))?;
    // One wrong lockout authorization closes the lockout hierarchy, for the right one too.
    assert_matches!(
        lockout::reset(&op, None, &empty()),
        Err(Error::AuthRejected { .. })
    );
    assert_matches!(
        lockout::reset(&op, None, &auth("lockout")),
        Err(Error::Lockout)
    );
    Ok(())
}

#[test]
fn clearing_empties_the_chip() -> TestResult {
    let swtpm = Swtpm::start();
    let tpm = tpm(&swtpm);
    let op = tpm.begin()?;
    let srk = Srk::find_or_create(&op, &empty())?;
    for hierarchy in Hierarchy::ALL {
        ownership::change_auth(&srk.open(&op)?, hierarchy, &empty(), &auth("set"))?;
    }
    ownership::clear(&op, None, &auth("set"))?;
    assert!(Srk::find(&op)?.is_none());
    let set = info::read(&op)?.auth_set;
    assert!(!set.owner && !set.endorsement && !set.lockout);
    assert_matches!(srk.check(&op), Err(Error::OtherTpm));
    Ok(())
}
