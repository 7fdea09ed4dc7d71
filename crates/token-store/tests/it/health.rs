//! Looking a token over: what is found without its PIN, and what with it.

use std::sync::Arc;

use testing::assert_matches;
use token_store::{
    Kind, Tries, WallKind,
    token::{self, Health},
};

use crate::{Bench, PIN, TestResult, failure, pin};

/// Puts another byte into a stored private part.
const SPOIL: &str = "CAST(substr(PART, 1, 60) || x'a5a5a5' || substr(PART, 64) AS BLOB)";

fn spoil(bench: &Bench, table: &str, column: &str) {
    let spoilt = SPOIL.replace("PART", column);
    bench.tamper(&format!("UPDATE {table} SET {column} = {spoilt}"));
}

/// A token with one key behind `wall`, as it is after `harm`.
fn harmed(
    wall: WallKind,
    harm: impl Fn(&Bench),
) -> Result<(Bench, token_store::Token), token_store::Error> {
    let mut bench = Bench::new();
    let token = bench.token("work", wall);
    let given = token.login_required().then(|| pin(PIN));
    let open = token_store::OpenToken::open(&bench.store, &bench.tpm, &token, given.as_ref())?;
    bench.key(&open);
    drop(open);
    harm(&bench);
    let token = bench.store.token(token.id)?;
    Ok((bench, token))
}

fn look(
    bench: &Bench,
    token: &token_store::Token,
    text: Option<&str>,
) -> Result<Health, token_store::Error> {
    let given = text.map(pin);
    token::examine(&bench.store, &bench.tpm, token, given.as_ref())
}

#[test]
fn a_whole_token_is_found_whole_behind_each_wall() -> TestResult {
    let three = Some(Tries { left: 3, max: 3 });
    for (wall, tries) in [
        (WallKind::Counter, three),
        (WallKind::Lockout, three),
        (WallKind::None, None),
    ] {
        let (bench, token) = harmed(wall, |_| ())?;
        let health = look(&bench, &token, None)?;
        assert_eq!((health.keys, health.tries), (1, tries), "{wall}");
        assert!(health.spoilt.is_empty() && health.refused.is_empty());
        assert_eq!(health.keys_were_loaded, wall == WallKind::None);
        if wall != WallKind::None {
            assert!(look(&bench, &token, Some(PIN))?.keys_were_loaded);
            let wrong = failure(look(&bench, &token, Some("wrong")));
            assert_eq!(wrong.kind(), Kind::WrongPin);
        }
    }
    Ok(())
}

#[test]
fn a_key_that_was_changed_is_found_where_the_chip_may_load_it() -> TestResult {
    for (wall, given) in [(WallKind::Counter, Some(PIN)), (WallKind::None, None)] {
        let (bench, token) = harmed(wall, |bench| spoil(bench, "key", "private"))?;
        let health = look(&bench, &token, given)?;
        assert_eq!((health.keys, health.spoilt.len()), (1, 1), "{wall}");
        assert_eq!(health.spoilt[0], "me@host");
    }
    Ok(())
}

/// fixedTPM cleared: see `thieves.rs` for the attributes.
#[test]
fn a_key_with_other_attributes_is_found_without_the_chip() -> TestResult {
    let (bench, token) = harmed(WallKind::Counter, |bench| {
        bench.tamper(
            "UPDATE key SET public = CAST(substr(public, 1, 7) || x'70' || \
             substr(public, 9) AS BLOB)",
        );
    })?;
    let health = look(&bench, &token, None)?;
    assert_eq!((health.keys, health.refused.len()), (0, 1));
    Ok(())
}

#[test]
fn changed_parts_of_the_token_itself_are_found_without_its_pin() -> TestResult {
    for column in ["token_private", "so_private", "guard_private"] {
        let (bench, token) = harmed(WallKind::Counter, |bench| spoil(bench, "token", column))?;
        let err = failure(look(&bench, &token, None));
        assert_eq!(err.kind(), Kind::Corrupt, "{column}: {err}");
    }
    Ok(())
}

#[test]
fn a_missing_counter_and_another_tpm_are_told_apart() -> TestResult {
    let (bench, token) = harmed(WallKind::Counter, Bench::remove_counter)?;
    let err = failure(look(&bench, &token, None));
    assert_matches!(err, token_store::Error::CounterMissing);

    let other = testing::Swtpm::start();
    let elsewhere = Arc::new(tpm_core::Tpm::new(other.tcti().parse()?));
    let err = failure(token::examine(&bench.store, &elsewhere, &token, None));
    assert_matches!(err, token_store::Error::OtherTpm);
    Ok(())
}
