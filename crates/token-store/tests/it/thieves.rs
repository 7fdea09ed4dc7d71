//! What somebody does who has the files, another TPM, or this one for a while.

use std::fs;

use testing::{Swtpm, assert_matches};
use token_store::{Error, Kind, OpenToken, Store, Token, WallKind, token};
use tpm_core::{GuardAuth, LockoutAuth, OwnerAuth, PinAuth, SoAuth, ownership};

use crate::{Bench, PIN, SO_PIN, TestResult, failure, pin, signs, store_dir, tpm_at};

/// Opens `token` in another TPM.
fn login_at(bench: &Bench, swtpm: &Swtpm, token: &Token) -> Result<OpenToken, Error> {
    let pin = token.login_required().then(|| pin(PIN));
    OpenToken::open(&bench.store, &tpm_at(&swtpm.tcti()), token, pin.as_ref())
}

#[test]
fn a_store_that_was_carried_to_another_tpm_is_of_no_use_there_and_still_good_at_home() -> TestResult
{
    let elsewhere = Swtpm::start();
    let mut bench = Bench::new();
    for wall in [WallKind::Counter, WallKind::Lockout, WallKind::None] {
        let token = bench.token("work", wall);
        let before = fs::read(bench.file())?;
        for prepared in [false, true] {
            if prepared {
                // The other TPM is in use, with an SRK of its own.
                let tpm = tpm_at(&elsewhere.tcti());
                tpm_core::Srk::find_or_create(&tpm.begin()?, &OwnerAuth::empty())?;
            }
            let err = failure(login_at(&bench, &elsewhere, &token));
            assert_matches!(err, Error::OtherTpm, "{wall}, {prepared}: {err}");
            assert_eq!(err.kind().exit_code(), 6);
        }
        assert_eq!(fs::read(bench.file())?, before, "the store is as it was");
        login_at(&bench, &bench.swtpm, &token)?;
    }
    Ok(())
}

#[test]
fn a_cleared_tpm_is_another_one_and_the_store_is_left_alone() -> TestResult {
    let mut bench = Bench::new();
    let token = bench.token("work", WallKind::Counter);
    ownership::clear(&bench.tpm.begin()?, None, &LockoutAuth::empty())?;
    let before = fs::read(bench.file())?;
    for _ in 0..2 {
        let err = failure(bench.login(&token, PIN));
        assert_matches!(err, Error::OtherTpm);
        let err = failure(bench.so_login(&token, SO_PIN));
        assert_matches!(err, Error::OtherTpm);
        let owner = OwnerAuth::empty();
        let err = failure(token::delete(&mut bench.store, &bench.tpm, &token, &owner));
        assert_matches!(err, Error::OtherTpm);
        let err = failure(token::refresh_tries(&bench.store, &bench.tpm, &token));
        assert_matches!(err, Error::OtherTpm);
        // A new token gives the TPM an SRK again, which is not the old one.
        bench.token("new", WallKind::Counter);
    }
    assert_ne!(fs::read(bench.file())?, before);
    assert_eq!(bench.store.find_token("work")?.serial, token.serial);
    token::forget(&mut bench.store, &token)?;
    assert!(bench.store.find_token("work").is_err());
    Ok(())
}

/// With a counter the PIN lives in the chip, so that an old copy of the store does not know
/// an old PIN; behind the chip's lockout it does, which the documentation says.
#[test]
fn an_old_copy_with_the_old_pin_opens_behind_the_lockout_alone() -> TestResult {
    for (wall, opens) in [(WallKind::Counter, false), (WallKind::Lockout, true)] {
        let mut bench = Bench::new();
        let token = bench.token("work", wall);
        let key = {
            let open = bench.login(&token, PIN)?;
            bench.key(&open)
        };
        let copy = tempfile::tempdir()?;
        Store::open_or_create(&store_dir(&copy))?;
        fs::copy(bench.file(), copy.path().join("store/store.db"))?;
        token::change_pin(
            &mut bench.store,
            &bench.tpm,
            &token,
            &pin(PIN),
            &pin("new pin"),
        )?;

        let old = Store::open(&store_dir(&copy))?;
        let old_token = old.token(token.id)?;
        match OpenToken::open(&old, &bench.tpm, &old_token, Some(&pin(PIN))) {
            Ok(open) => assert!(opens && signs(&open, &key)),
            Err(err) => assert!(!opens && err.kind() == Kind::WrongPin, "{err}"),
        }
    }
    Ok(())
}

/// An SO PIN cannot be called back either: the SO object is in the store and nowhere else.
#[test]
fn an_old_copy_answers_to_the_old_so_pin() -> TestResult {
    let mut bench = Bench::new();
    let token = bench.token("work", WallKind::Counter);
    let mut so = bench.so_login(&token, SO_PIN)?;
    so.change_so_pin(&mut bench.store, &crate::so_pin("another one"))?;
    bench.so_login(&token, SO_PIN)?; // `token` is the old copy
    let now = bench.store.token(token.id)?;
    assert_eq!(failure(bench.so_login(&now, SO_PIN)).kind(), Kind::WrongPin);
    Ok(())
}

#[test]
fn a_key_that_can_leave_the_chip_is_hidden_and_reported() -> TestResult {
    let mut bench = Bench::new();
    let token = bench.token("work", WallKind::Counter);
    let open = bench.login(&token, PIN)?;
    bench.key(&open);
    let good = bench.key(&open);
    // Attributes are bytes 4 to 7 of the public area; 0x02 is fixedTPM, 0x10 fixedParent and
    // 0x20 sensitiveDataOrigin.
    for (byte, reason) in [
        (0x62, "it can be duplicated out of the TPM"),
        (0x70, "it can be duplicated out of the TPM"),
        (0x52, "it was made outside of the TPM"),
    ] {
        bench.tamper(&format!(
            "UPDATE key SET public = CAST(substr(public, 1, 7) || x'{byte:02x}' || \
             substr(public, 9) AS BLOB) WHERE id = 1"
        ));
        let objects = bench.store.objects(token.id)?;
        assert_eq!(objects.len(), 2, "the good pair");
        assert!(
            objects
                .iter()
                .all(|object| object.key().is_some_and(|key| key.name() == good.name()))
        );
        let mut visited = 0;
        bench.store.each_private_key(token.id, |object| {
            assert_eq!(object.key().map(|key| key.name()), Some(good.name()));
            visited += 1;
        })?;
        assert_eq!(visited, 1);
        let refused = bench.store.refused(token.id)?;
        assert_eq!((refused.len(), refused[0].label.as_str()), (1, "me@host"));
        assert_eq!(refused[0].reason, reason);
        let open = bench.login(&token, PIN)?;
        assert!(signs(&open, &good), "the others work");
    }
    Ok(())
}

#[test]
fn a_key_that_was_tampered_with_does_not_sign_and_costs_no_try() -> TestResult {
    let mut bench = Bench::new();
    let token = bench.token("work", WallKind::Counter);
    let key = {
        let open = bench.login(&token, PIN)?;
        bench.key(&open)
    };
    let whole = fs::read(bench.file())?;
    let len = key.blob().blob().private.len();
    for at in (1..=len).step_by(7) {
        bench.tamper(&format!(
            "UPDATE key SET private = CAST(substr(private, 1, {at} - 1) || x'a5' || \
             substr(private, {at} + 1) AS BLOB)"
        ));
        let store = bench.reopen()?;
        let token = store.token(token.id)?;
        let open = OpenToken::open(&store, &bench.tpm, &token, Some(&pin(PIN)))?;
        let objects = store.objects(token.id)?;
        let tampered = objects[0].key().ok_or("a key")?;
        if tampered.blob() == key.blob() {
            continue; // it was that byte already
        }
        let err = failure(open.sign(tampered, tpm_core::Scheme::Ecdsa, &[0; 32]));
        assert_eq!(err.kind(), Kind::Corrupt, "byte {at}: {err}");
        drop(store);
        fs::write(bench.file(), &whole)?;
    }
    let tries = token::refresh_tries(&bench.store, &bench.tpm, &token)?;
    assert_eq!(tries.map(|tries| tries.left), Some(3));
    Ok(())
}

#[test]
fn keys_do_not_work_in_each_others_place_or_in_another_token() -> TestResult {
    let mut bench = Bench::new();
    let first = bench.token("first", WallKind::Counter);
    let second = bench.token("second", WallKind::Counter);
    let open = bench.login(&first, PIN)?;
    bench.key(&open);
    bench.key(&open);
    // Key 1 gets the private part of key 2; key 2 moves to the other token, objects and all.
    bench.tamper(&format!(
        "UPDATE key SET private = (SELECT private FROM key WHERE id = 2) WHERE id = 1; \
         UPDATE key SET token = {second} WHERE id = 2; \
         UPDATE object SET token = {second} WHERE key = 2",
        second = second.id.get(),
    ));
    for token in [first, second] {
        let token = bench.store.token(token.id)?;
        let open = bench.login(&token, PIN)?;
        let objects = bench.store.objects(token.id)?;
        let key = objects[0].key().ok_or("a key")?;
        let err = failure(open.sign(key, tpm_core::Scheme::Ecdsa, &[0; 32]));
        assert_eq!(err.kind(), Kind::Corrupt, "{err}");
    }
    Ok(())
}

#[test]
fn a_token_whose_own_blobs_were_changed_is_corrupt() -> TestResult {
    for (sql, at_the_chip) in [
        ("UPDATE token SET token_public = zeroblob(100)", false),
        ("UPDATE token SET token_private = x''", false),
        (
            "UPDATE token SET so_public = zeroblob(100), so_private = zeroblob(100)",
            false,
        ),
        ("UPDATE token SET nv_handle = nv_handle + 1", false),
        (
            "UPDATE token SET token_private = CAST(substr(token_private, 1, 60) || x'a5a5' || \
             substr(token_private, 63) AS BLOB)",
            true,
        ),
    ] {
        let mut bench = Bench::new();
        let token = bench.token("work", WallKind::Counter);
        bench.tamper(sql);
        let read = bench.store.token(token.id);
        assert_eq!(read.is_ok(), at_the_chip, "{sql}");
        let err = failure(read.and_then(|token| bench.login(&token, PIN)));
        assert_eq!(err.kind(), Kind::Corrupt, "{sql}: {err}");
        assert!(err.to_string().contains("token \"work\": "), "{sql}: {err}");
        assert_eq!(
            err.to_string()
                .contains("was changed or is of another token"),
            at_the_chip,
            "{sql}: {err}"
        );
    }
    Ok(())
}

/// A counter of the thief's own at the same handle: its Name is another one, because he
/// cannot write it or because it answers to another SO object.
#[test]
fn a_counter_put_in_the_place_of_ours_opens_nothing() -> TestResult {
    let mut bench = Bench::new();
    let token = bench.token("work", WallKind::Counter);
    let open = bench.login(&token, PIN)?;
    let key = bench.key(&open);
    drop(open);
    {
        let op = bench.tpm.begin()?;
        let srk = tpm_core::Srk::find(&op)?.ok_or("an SRK")?;
        let owner = OwnerAuth::empty();
        let handle = token.nv_handle.ok_or("a handle")?;
        tpm_core::PinCounter::undefine_at(&srk.open(&op)?, &owner, handle)?;
        let (thief, secret) = (SoAuth::new(b"thief")?, GuardAuth::random());
        let so = tpm_core::SoObject::create(&srk.open(&op)?, &thief, &secret)?;
        let guard = tpm_core::ChangeGuard::create(&srk.open(&op)?, &secret)?;
        let counter = tpm_core::PinCounter::from_parts(handle, so.name(), guard.name());
        counter.define(
            &srk.open(&op)?,
            &owner,
            &so,
            &thief,
            &PinAuth::new(b"thief")?,
            9,
        )?;
    }
    let err = failure(bench.login(&token, PIN));
    assert_matches!(err, Error::CounterMissing);
    let err = failure(bench.login(&token, "thief"));
    assert_matches!(err, Error::CounterMissing);
    // The owner of the TPM and the SO together repair it.
    let so = bench.so_login(&token, SO_PIN)?;
    so.repair(&mut bench.store, &pin("mended"), &OwnerAuth::empty())?;
    assert!(signs(&bench.login(&token, "mended")?, &key));
    Ok(())
}
