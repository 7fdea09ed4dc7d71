//! A token from its making to its deleting, behind each wall.

use testing::assert_matches;
use token_store::{
    Error, KeySpec, Kind, OpenToken, Tries, WallKind,
    token::{self, InitOptions},
};
use tpm_core::{
    AuthValue, KeyType, LockoutAuth, OwnerAuth, Srk, Usage,
    ownership::{self, Hierarchy},
};

use crate::{Bench, PIN, SO_PIN, TestResult, failure, pin, signs, so_pin};

const WALLS: [WallKind; 3] = [WallKind::Counter, WallKind::Lockout, WallKind::None];

fn open(bench: &Bench, token: &token_store::Token, text: &str) -> Result<OpenToken, Error> {
    let pin = token.login_required().then(|| pin(text));
    OpenToken::open(&bench.store, &bench.tpm, token, pin.as_ref())
}

#[test]
fn a_new_token_makes_keys_that_sign_behind_each_wall() -> TestResult {
    let mut bench = Bench::new();
    for wall in WALLS {
        let token = bench.token("work", wall);
        assert_eq!(token.wall, wall);
        assert_eq!(token.login_required(), wall != WallKind::None);
        assert_eq!(token.pin_is_set, wall != WallKind::None);
        assert!(token.so_pin_is_set && !token.has_keys);
        assert_eq!(token.serial.len(), 16);
        assert!(token.key_types.contains(&KeyType::EccP256));

        let logged_in = open(&bench, &token, PIN)?;
        let key = bench.key(&logged_in);
        assert!(signs(&logged_in, &key));
        assert!(bench.store.token(token.id)?.has_keys);

        // Another program, another login.
        let token = bench.reopen()?.token(token.id)?;
        let again = open(&bench, &token, PIN)?;
        assert!(signs(&again, &key));
    }
    Ok(())
}

#[test]
fn every_kind_of_key_is_made_and_signs() -> TestResult {
    use tpm_core::{Hash, Scheme};

    let mut bench = Bench::new();
    let token = bench.token("work", WallKind::Counter);
    let open = bench.login(&token, PIN)?;
    for (key_type, scheme) in [
        (KeyType::EccP256, Scheme::Ecdsa),
        (KeyType::EccP384, Scheme::Ecdsa),
        (KeyType::EccP521, Scheme::Ecdsa),
        (KeyType::Rsa2048, Scheme::RsaPkcs1(Hash::Sha256)),
        (KeyType::Rsa2048, Scheme::RsaPss(Hash::Sha256)),
    ] {
        let spec = KeySpec {
            usage: Usage::SIGN_DECRYPT,
            ..KeySpec::new(key_type, "k")
        };
        let pair = open.generate(&mut bench.store, &spec)?;
        let key = pair.private.key().ok_or("a key")?;
        assert_eq!(key.key_type(), key_type);
        assert_eq!(
            pair.public.cka_id,
            token_store::object::default_id(key.public())
        );
        let signature = open.sign(key, scheme, &[7; 32])?;
        assert!(key.public().verify(scheme, &[7; 32], &signature));
    }
    let session_key = open.generate_session_key(&KeySpec::new(KeyType::EccP256, ""))?;
    assert!(signs(&open, &session_key));
    assert_eq!(bench.store.objects(token.id)?.len(), 10);
    Ok(())
}

#[test]
fn a_changed_pin_is_the_only_one_and_the_keys_stay() -> TestResult {
    let mut bench = Bench::new();
    for wall in [WallKind::Counter, WallKind::Lockout] {
        let token = bench.token("work", wall);
        let first = bench.login(&token, PIN)?;
        let key = bench.key(&first);
        token::change_pin(
            &mut bench.store,
            &bench.tpm,
            &token,
            &pin(PIN),
            &pin("new pin"),
        )?;
        let token = bench.store.token(token.id)?;
        assert!(signs(&bench.login(&token, "new pin")?, &key));
        let err = failure(bench.login(&token, PIN));
        assert_eq!(err.kind(), Kind::WrongPin, "{err}");
    }
    Ok(())
}

#[test]
fn a_wrong_old_pin_costs_one_try_and_changes_nothing() -> TestResult {
    let mut bench = Bench::new();
    let token = bench.token("work", WallKind::Counter);
    let change = |bench: &mut Bench, old: &str| {
        token::change_pin(
            &mut bench.store,
            &bench.tpm,
            &token,
            &pin(old),
            &pin("newer"),
        )
    };
    let err = failure(change(&mut bench, "wrong"));
    assert_eq!(err.to_string(), "wrong PIN, 2 tries left");
    assert_eq!(
        bench.store.token(token.id)?.tries,
        Some(Tries { left: 2, max: 3 })
    );
    bench.login(&token, PIN)?;
    assert_eq!(
        bench.store.token(token.id)?.tries,
        Some(Tries { left: 3, max: 3 })
    );

    failure(change(&mut bench, "wrong"));
    change(&mut bench, PIN)?;
    assert_eq!(
        bench.store.token(token.id)?.tries,
        Some(Tries { left: 3, max: 3 })
    );
    Ok(())
}

#[test]
fn a_locked_pin_cannot_be_changed_either() -> TestResult {
    let mut bench = Bench::new();
    let token = bench.token("work", WallKind::Counter);
    for _ in 0..3 {
        failure(bench.login(&token, "wrong"));
    }
    let changed = token::change_pin(
        &mut bench.store,
        &bench.tpm,
        &token,
        &pin(PIN),
        &pin("newer"),
    );
    assert_matches!(failure(changed), Error::PinLocked);
    Ok(())
}

#[test]
fn a_token_without_a_pin_waits_for_its_so() -> TestResult {
    let mut bench = Bench::new();
    for wall in [WallKind::Counter, WallKind::Lockout] {
        let options = InitOptions {
            wall: Some(wall),
            ..InitOptions::new("new")
        };
        let so = so_pin(SO_PIN);
        let owner = OwnerAuth::empty();
        let made = token::init(
            &mut bench.store,
            &bench.tpm,
            &options,
            Some(&so),
            None,
            &owner,
        )?
        .token;
        assert!(!made.pin_is_set);
        assert_matches!(failure(bench.login(&made, PIN)), Error::PinNotSet);
        bench
            .so_login(&made, SO_PIN)?
            .reset_pin(&mut bench.store, &pin("first"))?;
        let token = bench.store.token(made.id)?;
        assert!(token.pin_is_set);
        let open = bench.login(&token, "first")?;
        let key = bench.key(&open);
        assert!(signs(&open, &key));
    }
    Ok(())
}

#[test]
fn the_so_pin_changes_and_the_old_one_is_refused() -> TestResult {
    let mut bench = Bench::new();
    let token = bench.token("work", WallKind::Counter);
    let mut so = bench.so_login(&token, SO_PIN)?;
    so.change_so_pin(&mut bench.store, &so_pin("new so pin"))?;
    so.reset_pin(&mut bench.store, &pin("reset"))?;
    let token = bench.store.token(token.id)?;
    let err = failure(bench.so_login(&token, SO_PIN));
    assert_eq!(err.to_string(), "wrong SO PIN, 2 tries left");
    assert_eq!(
        bench.store.token(token.id)?.so_tries,
        Some(Tries { left: 2, max: 3 })
    );
    bench.so_login(&token, "new so pin")?;
    bench.login(&token, "reset")?;
    Ok(())
}

#[test]
fn a_token_made_anew_keeps_serial_and_so_pin_and_nothing_else() -> TestResult {
    let mut bench = Bench::new();
    for wall in WALLS {
        let token = bench.token("old", wall);
        let logged_in = open(&bench, &token, PIN)?;
        bench.key(&logged_in);
        let wrong = so_pin("wrong so pin");
        let err = failure(token::reinit(
            &mut bench.store,
            &bench.tpm,
            &token,
            "new",
            &wrong,
        ));
        assert_eq!(err.kind(), Kind::WrongPin);
        assert_eq!(
            bench.store.objects(token.id)?.len(),
            2,
            "nothing is lost yet"
        );

        let so = so_pin(SO_PIN);
        let new = token::reinit(&mut bench.store, &bench.tpm, &token, "new", &so)?;
        assert_eq!(
            (new.id, &new.serial, new.label.as_str()),
            (token.id, &token.serial, "new")
        );
        assert!(!new.pin_is_set && !new.has_keys);
        assert!(bench.store.objects(token.id)?.is_empty());
        if wall != WallKind::None {
            assert_matches!(failure(bench.login(&new, PIN)), Error::PinNotSet);
            bench
                .so_login(&new, SO_PIN)?
                .reset_pin(&mut bench.store, &pin("again"))?;
        }
        let new = bench.store.token(new.id)?;
        let logged_in = open(&bench, &new, "again")?;
        let key = bench.key(&logged_in);
        assert!(signs(&logged_in, &key));
        if wall != WallKind::None {
            // What lets the user change the PIN has come along.
            let (old, changed) = (pin("again"), pin("changed"));
            token::change_pin(&mut bench.store, &bench.tpm, &new, &old, &changed)?;
            let new = bench.store.token(new.id)?;
            assert!(signs(&bench.login(&new, "changed")?, &key));
        }
        token::forget(&mut bench.store, &new)?;
        clear_lockout(&bench)?;
    }
    Ok(())
}

/// Wrong SO PINs count in the chip; with an empty lockout authorization anybody resets that.
fn clear_lockout(bench: &Bench) -> TestResult {
    tpm_core::lockout::reset(&bench.tpm.begin()?, None, &LockoutAuth::empty())?;
    Ok(())
}

#[test]
fn a_deleted_counter_is_made_again_by_the_so_and_the_keys_work() -> TestResult {
    let mut bench = Bench::new();
    let token = bench.token("work", WallKind::Counter);
    let key = {
        let open = bench.login(&token, PIN)?;
        bench.key(&open)
    };
    undefine(&bench, &token)?;

    let err = failure(bench.login(&token, PIN));
    assert_matches!(err, Error::CounterMissing);
    assert_eq!(err.kind().exit_code(), 6);
    let err = failure(token::refresh_tries(&bench.store, &bench.tpm, &token));
    assert_matches!(err, Error::CounterMissing);
    let so = bench.so_login(&token, SO_PIN)?;
    let err = failure(so.reset_pin(&mut bench.store, &pin("repaired")));
    assert_matches!(err, Error::CounterMissing);

    so.repair(&mut bench.store, &pin("repaired"), &OwnerAuth::empty())?;
    assert!(signs(&bench.login(&token, "repaired")?, &key));
    assert_eq!(bench.nv_indexes(), 1);
    let (old, new) = (pin("repaired"), pin("changed"));
    token::change_pin(&mut bench.store, &bench.tpm, &token, &old, &new)?;
    assert!(signs(&bench.login(&token, "changed")?, &key));
    Ok(())
}

/// Deletes a token's counter behind its back, as anybody with the owner's password can.
fn undefine(bench: &Bench, token: &token_store::Token) -> TestResult {
    let handle = token.nv_handle.ok_or("a counter")?;
    let op = bench.tpm.begin()?;
    let srk = Srk::find(&op)?.ok_or("an SRK")?;
    tpm_core::PinCounter::undefine_at(&srk.open(&op)?, &OwnerAuth::empty(), handle)?;
    Ok(())
}

#[test]
fn deleting_a_token_takes_its_counter_along() -> TestResult {
    let mut bench = Bench::new();
    for wall in WALLS {
        let token = bench.token("work", wall);
        token::delete(&mut bench.store, &bench.tpm, &token, &OwnerAuth::empty())?;
        assert!(bench.store.tokens()?.is_empty());
        assert_eq!(bench.nv_indexes(), 0);
        let err = failure(bench.store.token(token.id));
        assert_matches!(err, Error::NoSuchToken { .. });
    }
    Ok(())
}

#[test]
fn without_the_owners_password_nothing_is_deleted() -> TestResult {
    let mut bench = Bench::new();
    let token = bench.token("work", WallKind::Counter);
    let owner = OwnerAuth::new(b"owner")?;
    {
        let op = bench.tpm.begin()?;
        let srk = Srk::find(&op)?.ok_or("an SRK")?;
        ownership::change_auth(
            &srk.open(&op)?,
            Hierarchy::Owner,
            &AuthValue::empty(),
            &AuthValue::new(b"owner")?,
        )?;
    }
    let err = failure(token::delete(
        &mut bench.store,
        &bench.tpm,
        &token,
        &OwnerAuth::empty(),
    ));
    assert_eq!(err.kind(), Kind::WrongPin, "{err}");
    assert_eq!(bench.store.tokens()?.len(), 1);
    bench.login(&token, PIN)?;
    token::delete(&mut bench.store, &bench.tpm, &token, &owner)?;
    assert_eq!(bench.nv_indexes(), 0);
    Ok(())
}

#[test]
fn without_the_owners_password_no_weaker_wall_is_taken_unless_it_is_asked_for() -> TestResult {
    let mut bench = Bench::new();
    bench.token("makes the SRK", WallKind::Counter);
    let owner = OwnerAuth::new(b"owner")?;
    {
        let op = bench.tpm.begin()?;
        let srk = Srk::find(&op)?.ok_or("an SRK")?;
        ownership::change_auth(
            &srk.open(&op)?,
            Hierarchy::Owner,
            &AuthValue::empty(),
            &AuthValue::new(b"owner")?,
        )?;
    }
    let mut init = |wall, owner: &OwnerAuth| {
        let options = InitOptions {
            wall,
            ..InitOptions::new("work")
        };
        let pin = pin(PIN);
        token::init(
            &mut bench.store,
            &bench.tpm,
            &options,
            None,
            Some(&pin),
            owner,
        )
    };
    let err = failure(init(None, &OwnerAuth::empty()));
    assert_eq!(
        err.to_string(),
        "no PIN counter can be made: it takes the owner password of this TPM"
    );
    assert_eq!(err.kind().exit_code(), 3);
    let asked = init(Some(WallKind::Lockout), &OwnerAuth::empty())?;
    assert_eq!(asked.token.wall, WallKind::Lockout);
    let err = failure(init(Some(WallKind::Counter), &OwnerAuth::empty()));
    assert_eq!(err.kind(), Kind::WrongPin, "{err}");
    let err = failure(init(None, &OwnerAuth::new(b"wrong")?));
    assert_eq!(
        err.kind(),
        Kind::WrongPin,
        "a wrong password is not the same as none: {err}"
    );
    let counted = init(None, &owner)?;
    assert_eq!(counted.token.wall, WallKind::Counter);
    assert_eq!(bench.nv_indexes(), 2, "what failed left nothing");
    Ok(())
}

#[test]
fn a_request_that_cannot_be_met_is_refused_before_the_tpm_hears_of_it() -> TestResult {
    let mut bench = Bench::new();
    bench.swtpm.stop();
    let (pin, owner) = (pin(PIN), OwnerAuth::empty());
    let mut init = |options: &InitOptions| {
        failure(token::init(
            &mut bench.store,
            &bench.tpm,
            options,
            None,
            Some(&pin),
            &owner,
        ))
    };
    let err = init(&InitOptions::new("x".repeat(33)));
    assert_matches!(err, Error::TooLong { .. });
    let err = init(&InitOptions {
        max_tries: 0,
        ..InitOptions::new("x")
    });
    assert_eq!(err.to_string(), "a token takes from 1 to 100 tries");
    let err = init(&InitOptions {
        wall: Some(WallKind::None),
        ..InitOptions::new("x")
    });
    assert_matches!(err, Error::NoPin);
    let err = init(&InitOptions::new("x"));
    assert_eq!(err.kind().exit_code(), 5, "{err}");
    Ok(())
}

#[test]
fn a_token_is_found_by_label_and_serial_number() -> TestResult {
    let mut bench = Bench::new();
    let a = bench.token("same", WallKind::None);
    let b = bench.token("same", WallKind::None);
    assert_eq!(bench.store.find_token(&a.serial)?.id, a.id);
    let err = failure(bench.store.find_token("same"));
    assert_eq!(err.to_string(), "several tokens are called \"same\"");
    token::rename(&mut bench.store, &b, "other")?;
    assert_eq!(bench.store.find_token("same")?.id, a.id);
    assert_eq!(bench.store.find_token("other")?.serial, b.serial);
    assert_eq!(
        failure(bench.store.find_token("third")).to_string(),
        "no token \"third\""
    );
    Ok(())
}
