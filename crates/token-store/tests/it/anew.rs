//! A token made anew, and what a copy of the store from before can still do.

use testing::assert_matches;
use token_store::{
    Error, OpenToken, SoToken, Store, StoreDir, Token, WallKind,
    token::{self, Renewal},
};
use tpm_core::{
    AuthValue, OwnerAuth, Srk,
    ownership::{Hierarchy, change_auth},
};

use crate::{Bench, PIN, SO_PIN, TestResult, failure, pin, signs, so_pin};

const NEW_PIN: &str = "new pin";

/// A token with a key, and a copy of the store with it.
fn copied(wall: WallKind) -> Result<(Bench, Token, Store), Box<dyn std::error::Error>> {
    let mut bench = Bench::new();
    let token = bench.token("work", wall);
    let open = bench.login(&token, PIN)?;
    bench.key(&open);
    let copy = StoreDir::at(bench.dir.path().join("copy"))?;
    drop(Store::open_or_create(&copy)?);
    std::fs::copy(bench.file(), copy.path().join("store.db"))?;
    Ok((bench, token, Store::open(&copy)?))
}

fn renew(bench: &mut Bench, token: &Token, owner: &OwnerAuth) -> Result<Token, Error> {
    let (so, pin) = (so_pin(SO_PIN), pin(NEW_PIN));
    let renewal = Renewal {
        label: "new",
        max_tries: Some(5),
        so: &so,
        pin: Some(&pin),
    };
    token::renew(&mut bench.store, &bench.tpm, token, &renewal, owner)
}

fn set_owner_password(bench: &Bench) -> Result<OwnerAuth, Box<dyn std::error::Error>> {
    let owner = OwnerAuth::new(b"owner")?;
    let op = bench.tpm.begin()?;
    let srk = Srk::find(&op)?.ok_or("an SRK")?;
    change_auth(
        &srk.open(&op)?,
        Hierarchy::Owner,
        &AuthValue::empty(),
        &AuthValue::new(b"owner")?,
    )?;
    Ok(owner)
}

/// Whether the copy opens with the PIN `text`.
fn opens(bench: &Bench, copy: &Store, text: &str) -> Result<OpenToken, Error> {
    let token = copy.tokens()?.remove(0);
    OpenToken::open(copy, &bench.tpm, &token, Some(&pin(text)))
}

#[test]
fn a_copy_from_before_opens_with_no_pin_behind_a_counter() -> TestResult {
    let (mut bench, token, copy) = copied(WallKind::Counter)?;
    opens(&bench, &copy, PIN)?;
    let new = renew(&mut bench, &token, &OwnerAuth::empty())?;
    assert_eq!(
        (new.id, &new.serial, new.label.as_str(), new.max_tries),
        (token.id, &token.serial, "new", Some(5))
    );
    assert!(bench.store.objects(token.id)?.is_empty());
    assert_ne!(new.nv_handle, token.nv_handle);
    assert_eq!(bench.nv_indexes(), 1, "the old counter is gone");
    for text in [PIN, NEW_PIN] {
        let err = failure(opens(&bench, &copy, text));
        assert_matches!(err, Error::CounterMissing, "{text}: {err}");
    }
    // The new one works, and its SO lets its user in.
    let open = bench.login(&new, NEW_PIN)?;
    let key = bench.key(&open);
    assert!(signs(&open, &key));
    bench
        .so_login(&new, SO_PIN)?
        .reset_pin(&mut bench.store, &pin("reset"))?;
    bench.login(&bench.store.token(new.id)?, "reset")?;
    Ok(())
}

/// What SECURITY.md says: who has the copy, the SO PIN of then and the owner's authorization
/// makes the old counter again.
#[test]
fn a_copy_with_its_so_pin_and_the_owners_authorization_opens_again() -> TestResult {
    let (mut bench, token, mut copy) = copied(WallKind::Counter)?;
    renew(&mut bench, &token, &OwnerAuth::empty())?;
    let old = copy.tokens()?.remove(0);
    let so = SoToken::open(&copy, &bench.tpm, &old, &so_pin(SO_PIN))?;
    so.repair(&mut copy, &pin("back"), &OwnerAuth::empty())?;
    opens(&bench, &copy, "back")?;
    Ok(())
}

/// What SECURITY.md says: the chip keeps nothing of such a token.
#[test]
fn a_copy_from_before_opens_with_the_old_pin_behind_the_lockout() -> TestResult {
    let (mut bench, token, copy) = copied(WallKind::Lockout)?;
    renew(&mut bench, &token, &OwnerAuth::empty())?;
    opens(&bench, &copy, PIN)?;
    failure(opens(&bench, &copy, NEW_PIN));
    Ok(())
}

#[test]
fn c_init_token_does_the_same_where_there_is_no_owner_password() -> TestResult {
    let (mut bench, token, copy) = copied(WallKind::Counter)?;
    let so = so_pin(SO_PIN);
    let new = token::reinit(&mut bench.store, &bench.tpm, &token, "new", &so)?;
    bench
        .so_login(&new, SO_PIN)?
        .reset_pin(&mut bench.store, &pin(NEW_PIN))?;
    for text in [PIN, NEW_PIN] {
        let err = failure(opens(&bench, &copy, text));
        assert_matches!(err, Error::CounterMissing, "{text}: {err}");
    }
    assert_eq!(bench.nv_indexes(), 1);
    Ok(())
}

/// What SECURITY.md says of `C_InitToken` if the token cannot have another counter.
#[test]
fn c_init_token_keeps_the_counter_where_there_is_an_owner_password() -> TestResult {
    let (mut bench, token, copy) = copied(WallKind::Counter)?;
    let owner = set_owner_password(&bench)?;
    let so = so_pin(SO_PIN);
    let new = token::reinit(&mut bench.store, &bench.tpm, &token, "new", &so)?;
    assert_eq!(new.nv_handle, token.nv_handle);
    assert_eq!(bench.nv_indexes(), 1);
    bench
        .so_login(&new, SO_PIN)?
        .reset_pin(&mut bench.store, &pin(NEW_PIN))?;
    failure(opens(&bench, &copy, PIN));
    opens(&bench, &copy, NEW_PIN)?;
    // With the password it is done in full.
    let new = bench.store.token(new.id)?;
    renew(&mut bench, &new, &owner)?;
    let err = failure(opens(&bench, &copy, NEW_PIN));
    assert_matches!(err, Error::CounterMissing);
    Ok(())
}

#[test]
fn who_cannot_prove_the_so_pin_or_the_owner_changes_nothing() -> TestResult {
    let (mut bench, token, _copy) = copied(WallKind::Counter)?;
    let so = so_pin("another so pin");
    let renewal = Renewal {
        label: "new",
        max_tries: None,
        so: &so,
        pin: None,
    };
    let owner = OwnerAuth::empty();
    let err = failure(token::renew(
        &mut bench.store,
        &bench.tpm,
        &token,
        &renewal,
        &owner,
    ));
    assert_eq!(err.kind().exit_code(), 3, "{err}");
    set_owner_password(&bench)?;
    let err = failure(renew(&mut bench, &token, &OwnerAuth::empty()));
    assert_eq!(err.kind().exit_code(), 3, "{err}");
    assert_eq!(bench.nv_indexes(), 1);
    let open = bench.login(&token, PIN)?;
    for object in bench.store.objects(token.id)? {
        assert!(signs(&open, object.key().ok_or("a key")?));
    }
    Ok(())
}
