//! Programs that are killed: at every command to the chip, and before what they write.

use rusqlite::Connection;
use testing::assert_matches;
use token_store::{Error, KeySpec, OpenToken, Token, WallKind, token};
use tpm_core::{KeyType, OwnerAuth};

use crate::{Bench, PIN, SO_PIN, TestResult, pin, signs};

mod points;
mod victim;

use points::{kill_everywhere, prepared};
use victim::{Victim, act};

const NEW_PIN: &str = "new pin";
const NEW_SO_PIN: &str = "new so pin";

/// What the key and the token are called by turns.
const LABELS: [&str; 2] = ["work", "play"];

/// Whether the token opens for `text`, with all its keys.
fn opens(bench: &Bench, token: &Token, text: &str) -> Result<bool, Error> {
    let token = bench.store.token(token.id)?;
    match bench.login(&token, text) {
        Ok(open) => {
            for object in bench.store.objects(token.id)? {
                if let Some(key) = object.key() {
                    assert!(signs(&open, key), "a key does not sign");
                }
            }
            Ok(true)
        }
        Err(Error::WrongPin { .. }) => Ok(false),
        Err(err) => Err(err),
    }
}

/// Whether the token's SO PIN is `text`.
fn so_opens(bench: &Bench, token: &Token, text: &str) -> Result<bool, Error> {
    let token = bench.store.token(token.id)?;
    match bench.so_login(&token, text) {
        Ok(_) => Ok(true),
        Err(Error::WrongPin { .. }) => Ok(false),
        Err(err) => Err(err),
    }
}

/// What is left in the chip belongs to a token or is known for a leftover, and can be removed.
fn no_counter_is_lost(bench: &mut Bench) -> TestResult {
    for orphan in token::orphans(&bench.store, &bench.tpm)? {
        assert!(orphan.ours, "{orphan:?} was forgotten");
        token::remove_orphan(&mut bench.store, &bench.tpm, &orphan, &OwnerAuth::empty())?;
    }
    let counted = bench
        .store
        .tokens()?
        .iter()
        .filter(|token| token.nv_handle.is_some())
        .count();
    assert_eq!(bench.nv_indexes(), counted);
    assert!(token::orphans(&bench.store, &bench.tpm)?.is_empty());
    Ok(())
}

#[test]
fn a_killed_init_leaves_a_token_or_none_and_no_counter_that_is_lost() -> TestResult {
    kill_everywhere("init", WallKind::Counter, |bench, old| {
        assert!(opens(bench, old, PIN)?);
        if let Ok(new) = bench.store.find_token("new") {
            assert!(opens(bench, &new, PIN)? && so_opens(bench, &new, SO_PIN)?);
        }
        no_counter_is_lost(bench)?;
        act("init", &mut bench.store, &bench.tpm)?;
        no_counter_is_lost(bench)
    })
}

#[test]
fn a_killed_keygen_leaves_a_whole_key_or_none() -> TestResult {
    kill_everywhere("keygen", WallKind::Counter, |bench, token| {
        assert!(opens(bench, token, PIN)?);
        let objects = bench.store.objects(token.id)?.len();
        assert_matches!(objects, 2 | 4, "{objects} objects");
        let keys: usize =
            Connection::open(bench.file())?
                .query_row("SELECT count(*) FROM key", [], |row| row.get(0))?;
        assert_eq!(keys * 2, objects);
        Ok(())
    })
}

/// It leaves at most an arrival key without keys, below which the next import goes.
#[test]
fn a_killed_import_leaves_a_whole_key_or_none() -> TestResult {
    kill_everywhere("import", WallKind::Counter, |bench, token| {
        let rows = |table: &str| -> rusqlite::Result<usize> {
            let count = format!("SELECT count(*) FROM {table}");
            Connection::open(bench.file())?.query_row(&count, [], |row| row.get(0))
        };
        let objects = bench.store.objects(token.id)?.len();
        assert_matches!(objects, 2 | 4, "{objects} objects");
        assert_eq!(rows("key")? * 2, objects);
        let arrivals = rows("arrival")?;
        assert!(arrivals == 1 || objects == 2, "{arrivals} arrival keys");
        assert_eq!(bench.store.refused(token.id)?, []);
        let open = OpenToken::open(&bench.store, &bench.tpm, token, Some(&pin(PIN)))?;
        let software = crate::moving_in::software();
        let spec = KeySpec::new(KeyType::EccP256, "after that");
        open.import(&mut bench.store, &software, &spec)?;
        Ok(())
    })
}

/// For either way of setting a PIN, behind either wall that has one.
fn a_kill_leaves_the_old_pin_or_the_new_one(what: &str) -> TestResult {
    for wall in [WallKind::Counter, WallKind::Lockout] {
        kill_everywhere(what, wall, |bench, token| {
            let old = opens(bench, token, PIN)?;
            assert_ne!(opens(bench, token, NEW_PIN)?, old, "one of the two");
            Ok(())
        })?;
    }
    Ok(())
}

#[test]
fn a_killed_pin_change_leaves_the_old_pin_or_the_new_one() -> TestResult {
    a_kill_leaves_the_old_pin_or_the_new_one("change pin")
}

#[test]
fn a_killed_pin_reset_leaves_the_old_pin_or_the_new_one() -> TestResult {
    a_kill_leaves_the_old_pin_or_the_new_one("reset pin")
}

#[test]
fn a_killed_so_pin_change_leaves_the_old_so_pin_or_the_new_one() -> TestResult {
    kill_everywhere("change so pin", WallKind::Counter, |bench, token| {
        let old = so_opens(bench, token, SO_PIN)?;
        assert_ne!(so_opens(bench, token, NEW_SO_PIN)?, old, "one of the two");
        assert!(opens(bench, token, PIN)?);
        Ok(())
    })
}

#[test]
fn a_killed_repair_leaves_something_to_repair_or_a_token_that_works() -> TestResult {
    kill_everywhere("repair", WallKind::Counter, |bench, token| {
        match opens(bench, token, NEW_PIN) {
            Ok(works) => assert!(works),
            Err(Error::CounterMissing) => {
                act("repair", &mut bench.store, &bench.tpm)?;
                assert!(opens(bench, token, NEW_PIN)?);
            }
            Err(err) => return Err(err.into()),
        }
        no_counter_is_lost(bench)
    })
}

#[test]
fn a_killed_reinit_leaves_the_old_token_or_an_empty_one() -> TestResult {
    kill_everywhere("reinit", WallKind::Counter, |bench, token| {
        let now = bench.store.token(token.id)?;
        if now.pin_is_set {
            assert!(opens(bench, token, PIN)?);
            assert_eq!(bench.store.objects(token.id)?.len(), 2);
        } else {
            assert!(bench.store.objects(token.id)?.is_empty());
            bench
                .so_login(&now, SO_PIN)?
                .reset_pin(&mut bench.store, &pin(NEW_PIN))?;
            assert!(opens(bench, token, NEW_PIN)?);
        }
        no_counter_is_lost(bench)
    })
}

/// `tpmssh token init --again`.
#[test]
fn a_killed_renewal_leaves_the_old_token_or_the_new_one_or_can_be_done_again() -> TestResult {
    kill_everywhere("renew", WallKind::Counter, |bench, token| {
        let objects = bench.store.objects(token.id)?.len();
        match opens(bench, token, PIN) {
            Ok(true) => assert_eq!(objects, 2, "the old token"),
            Ok(false) => {
                assert!(opens(bench, token, NEW_PIN)?);
                assert_eq!(objects, 0, "the new token");
            }
            Err(Error::CounterMissing) => {
                act("renew", &mut bench.store, &bench.tpm)?;
                assert!(opens(bench, token, NEW_PIN)?);
            }
            Err(err) => return Err(err.into()),
        }
        no_counter_is_lost(bench)
    })
}

/// What only the disk knows of: killed during its 1st, 2nd, … write it is done or is not.
#[test]
fn a_killed_write_is_done_or_is_not() -> TestResult {
    let (bench, token) = prepared(WallKind::Counter)?;
    let tcti = bench.swtpm.tcti();
    for round in 0..4 {
        token::rename(&mut bench.reopen()?, &token, LABELS[0])?;
        let before = bench.reopen()?.change_counter()?;
        let mut victim = Victim::start("write", &bench.dir.path().join("store"), &tcti);
        let written = || {
            bench
                .store
                .change_counter()
                .is_ok_and(|now| now > before + round)
        };
        assert!(!victim.ends_before(written));
        drop(victim);
        // Opening it plays the journal back, if one was left.
        let store = bench.reopen()?;
        store.check_integrity()?;
        assert!(LABELS.contains(&store.token(token.id)?.label.as_str()));
        let objects = store.objects(token.id)?;
        assert_matches!(objects.len(), 2 | 3, "{objects:?}");
        assert!(
            [&["me@host"], &LABELS[..]]
                .concat()
                .contains(&objects[0].label.as_str())
        );
        if let Some(certificate) = objects.get(2) {
            bench.reopen()?.delete_object(certificate.id)?;
        }
    }
    assert!(opens(&bench, &token, PIN)?);
    Ok(())
}

#[test]
fn a_killed_delete_leaves_the_token_or_nothing() -> TestResult {
    kill_everywhere("delete", WallKind::Counter, |bench, token| {
        if bench.store.token(token.id).is_ok() {
            assert!(opens(bench, token, PIN)?);
        }
        no_counter_is_lost(bench)?;
        let rows: usize =
            Connection::open(bench.file())?
                .query_row("SELECT count(*) FROM token", [], |row| row.get(0))?;
        assert_eq!(rows, bench.store.tokens()?.len(), "half a token is left");
        Ok(())
    })
}
