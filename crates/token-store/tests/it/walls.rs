//! What wrong PINs cost, and whom.

use testing::{Swtpm, Tap, assert_matches};
use token_store::{Error, Kind, OpenToken, SoToken, Store, Tries, WallKind, token};
use tpm_core::{LockoutAuth, OwnerAuth, lockout};

use crate::{Bench, PIN, SO_PIN, TestResult, failure, pin, signs, so_pin, store_dir, tpm_at};

fn known(bench: &Bench, token: &token_store::Token) -> Option<Tries> {
    bench.store.token(token.id).expect("the token").tries
}

#[test]
fn three_wrong_pins_lock_one_token_and_nothing_else() -> TestResult {
    let mut bench = Bench::new();
    let token = bench.token("mine", WallKind::Counter);
    let other = bench.token("other", WallKind::Counter);
    let bare = bench.token("bare", WallKind::None);
    let key = {
        let open = bench.login(&token, PIN)?;
        bench.key(&open)
    };
    for left in [2, 1, 0] {
        let err = failure(bench.login(&token, "wrong"));
        assert_matches!(err, Error::WrongPin { left: Some(seen), .. } if seen == left, "{left}: {err}");
        assert_eq!(known(&bench, &token), Some(Tries { left, max: 3 }));
    }
    let err = failure(bench.login(&token, PIN));
    assert_matches!(
        err,
        Error::PinLocked,
        "the right one is refused, too: {err}"
    );
    assert_eq!(err.kind().exit_code(), 4);

    assert_eq!(bench.lockout_count(), 0);
    bench.login(&other, PIN)?;
    OpenToken::open(&bench.store, &bench.tpm, &bare, None)?;
    lockout::reset(&bench.tpm.begin()?, None, &LockoutAuth::empty())?;
    assert!(
        bench.login(&token, PIN).is_err(),
        "the chip's reset is not for counters"
    );

    bench
        .so_login(&token, SO_PIN)?
        .reset_pin(&mut bench.store, &pin("fresh"))?;
    assert_eq!(known(&bench, &token), Some(Tries { left: 3, max: 3 }));
    assert!(signs(&bench.login(&token, "fresh")?, &key));
    assert_eq!(bench.lockout_count(), 0);
    Ok(())
}

#[test]
fn a_right_pin_gives_all_tries_back() -> TestResult {
    let mut bench = Bench::new();
    let token = bench.token("work", WallKind::Counter);
    for _ in 0..3 {
        failure(bench.login(&token, "wrong"));
        failure(bench.login(&token, "wrong"));
        bench.login(&token, PIN)?;
        assert_eq!(known(&bench, &token), Some(Tries { left: 3, max: 3 }));
    }
    Ok(())
}

#[test]
fn behind_the_chips_lockout_each_wrong_pin_counts_once_and_locks_the_chip() -> TestResult {
    let mut bench = Bench::new();
    let token = bench.token("work", WallKind::Lockout);
    assert_eq!(token.tries, Some(Tries { left: 3, max: 3 }));
    for (count, left) in [(1, 2), (2, 1), (3, 0)] {
        let err = failure(bench.login(&token, "wrong"));
        let seen = match err {
            Error::WrongPin { left, .. } => left,
            // The SO PIN does not help then, so it is told in another way.
            Error::LastTry { .. } => Some(0),
            _ => None,
        };
        assert_eq!(seen, Some(left), "{err}");
        assert_eq!(bench.lockout_count(), count);
        assert_eq!(known(&bench, &token), Some(Tries { left, max: 3 }));
    }
    let err = failure(bench.login(&token, PIN));
    assert_matches!(
        err,
        Error::ChipLocked {
            recovery: Some(1000)
        }
    );
    assert_eq!(
        err.to_string(),
        "the TPM is in dictionary-attack lockout; the next try is possible in at most 17 minutes"
    );
    assert_eq!(err.kind(), Kind::PinLocked);
    let err = failure(bench.so_login(&token, SO_PIN));
    assert_eq!(
        err.kind(),
        Kind::PinLocked,
        "the SO is behind the same lockout: {err}"
    );

    lockout::reset(&bench.tpm.begin()?, None, &LockoutAuth::empty())?;
    let token = bench.store.token(token.id)?;
    bench.login(&token, PIN)?;
    assert_eq!(
        known(&bench, &token),
        Some(Tries { left: 3, max: 3 }),
        "it was looked up again"
    );
    Ok(())
}

#[test]
fn the_so_resets_the_pin_behind_the_chips_lockout() -> TestResult {
    let mut bench = Bench::new();
    let token = bench.token("work", WallKind::Lockout);
    let key = {
        let open = bench.login(&token, PIN)?;
        bench.key(&open)
    };
    bench
        .so_login(&token, SO_PIN)?
        .reset_pin(&mut bench.store, &pin("fresh"))?;
    let token = bench.store.token(token.id)?;
    assert!(signs(&bench.login(&token, "fresh")?, &key));
    assert_eq!(failure(bench.login(&token, PIN)).kind(), Kind::WrongPin);
    Ok(())
}

#[test]
fn the_chips_lockout_does_not_keep_a_counters_user_out() -> TestResult {
    let mut bench = Bench::new();
    let counted = bench.token("counted", WallKind::Counter);
    let locked = bench.token("locked", WallKind::Lockout);
    for _ in 0..3 {
        failure(bench.login(&locked, "wrong"));
    }
    bench.login(&counted, PIN)?;
    Ok(())
}

#[test]
fn a_wrong_so_pin_costs_one_of_the_chips_tries() -> TestResult {
    let mut bench = Bench::new();
    let token = bench.token("work", WallKind::Counter);
    let err = failure(bench.so_login(&token, "wrong so pin"));
    assert_eq!(err.to_string(), "wrong SO PIN, 2 tries left");
    assert_eq!(bench.lockout_count(), 1);
    assert_eq!(
        known(&bench, &token),
        Some(Tries { left: 3, max: 3 }),
        "the user's own tries"
    );
    Ok(())
}

/// A right PIN, power lost right after, nine times over: the chip's own lockout would count
/// each of them.
#[test]
fn power_cuts_do_not_lock_a_counters_user_out() -> TestResult {
    let mut bench = Bench::new();
    let token = bench.token("work", WallKind::Counter);
    let key = {
        let open = bench.login(&token, PIN)?;
        bench.key(&open)
    };
    for _ in 0..9 {
        let open = bench.login(&token, PIN)?;
        assert!(signs(&open, &key));
        bench.swtpm.kill();
        bench.swtpm.restart();
        assert!(signs(&open, &key), "a login outlives the chip's reset");
    }
    assert_eq!(
        token::refresh_tries(&bench.store, &bench.tpm, &token)?.map(|t| t.left),
        Some(3)
    );
    Ok(())
}

/// Where a login holds what the chip saved for it, that is good after a suspend and stale
/// after a restart; either way it signs on.
#[test]
fn a_login_outlives_a_suspend() -> TestResult {
    let mut bench = Bench::new();
    for wall in [WallKind::Counter, WallKind::Lockout, WallKind::None] {
        let token = bench.token("work", wall);
        let given = token.login_required().then(|| pin(PIN));
        let open = OpenToken::open(&bench.store, &bench.tpm, &token, given.as_ref())?;
        let key = bench.key(&open);
        assert!(signs(&open, &key));
        for _ in 0..2 {
            bench.swtpm.suspend_and_resume();
            assert!(signs(&open, &key), "{wall}");
        }
    }
    assert_eq!(bench.lockout_count(), 0);
    Ok(())
}

#[test]
fn looking_at_the_tries_takes_no_secret_and_spends_none() -> TestResult {
    let mut bench = Bench::new();
    let token = bench.token("work", WallKind::Counter);
    failure(bench.login(&token, "wrong"));
    for _ in 0..3 {
        let tries = token::refresh_tries(&bench.store, &bench.tpm, &token)?;
        assert_eq!(tries, Some(Tries { left: 2, max: 3 }));
    }
    let bare = bench.token("bare", WallKind::None);
    assert_eq!(token::refresh_tries(&bench.store, &bench.tpm, &bare)?, None);
    Ok(())
}

#[test]
fn a_login_that_cannot_be_one_spends_no_try_and_no_command() -> TestResult {
    let swtpm = Swtpm::start();
    let tap = Tap::start(&swtpm);
    let dir = tempfile::tempdir()?;
    let mut store = Store::open_or_create(&store_dir(&dir))?;
    let tpm = tpm_at(&tap.tcti());
    let options = token::InitOptions::new("work");
    let owner = OwnerAuth::empty();
    let token = token::init(&mut store, &tpm, &options, None, Some(&pin(PIN)), &owner)?.token;
    tap.reset();
    assert_matches!(
        failure(OpenToken::open(&store, &tpm, &token, None)),
        Error::PinRequired
    );
    let err = failure(SoToken::open(&store, &tpm, &token, &so_pin(SO_PIN)));
    assert_matches!(err, Error::NoSo);
    assert_eq!(tap.commands(), [0_u32; 0]);
    Ok(())
}

/// A login cold and its first signature: 8 commands with a counter, 6 in lockout mode, and a
/// later signature at most 4; nothing at all to look at tokens and objects.
#[test]
fn the_budget_of_commands_is_kept_and_no_secret_crosses_the_bus() -> TestResult {
    for (wall, budget) in [(WallKind::Counter, 8), (WallKind::Lockout, 6)] {
        let swtpm = Swtpm::start();
        let tap = Tap::start(&swtpm);
        let dir = tempfile::tempdir()?;
        let mut store = Store::open_or_create(&store_dir(&dir))?;
        let tpm = tpm_at(&tap.tcti());
        let options = token::InitOptions {
            wall: Some(wall),
            ..token::InitOptions::new("work")
        };
        let secret = pin("a long enough secret");
        let owner = OwnerAuth::empty();
        token::init(&mut store, &tpm, &options, None, Some(&secret), &owner)?;
        let token = store.find_token("work")?;
        let open = OpenToken::open(&store, &tpm, &token, Some(&secret))?;
        open.generate(
            &mut store,
            &token_store::KeySpec::new(tpm_core::KeyType::EccP256, "k"),
        )?;
        drop(open);

        tap.reset();
        let token = store.find_token("work")?;
        let objects = store.objects(token.id)?;
        let key = objects
            .iter()
            .find_map(|object| object.key())
            .ok_or("a key")?;
        assert_eq!(tap.count(), 0);
        let open = OpenToken::open(&store, &tpm, &token, Some(&secret))?;
        assert!(signs(&open, key));
        assert!(tap.count() <= budget, "{wall}: {} commands", tap.count());
        tap.reset();
        assert!(signs(&open, key));
        assert!(
            tap.count() <= 4,
            "{wall}: {} commands for the second",
            tap.count()
        );
        assert!(!tap.saw(b"a long enough secret"));
    }
    Ok(())
}

#[test]
fn a_login_ends_when_the_pin_is_changed_elsewhere_and_tries_nothing_again() -> TestResult {
    let mut bench = Bench::new();
    let token = bench.token("work", WallKind::Counter);
    let open = bench.login(&token, PIN)?;
    let first = bench.key(&open);
    let second = bench.key(&open);
    drop(open);
    // The first key is loaded at login, the second is not.
    let open = bench.login(&token, PIN)?;
    token::change_pin(
        &mut bench.store,
        &bench.tpm,
        &token,
        &pin(PIN),
        &pin("changed"),
    )?;
    assert!(signs(&open, &first), "what the chip has opened stays open");
    for _ in 0..5 {
        let err = failure(open.sign(&second, tpm_core::Scheme::Ecdsa, &[0; 32]));
        assert_matches!(err, Error::LoggedOut);
    }
    let tries = token::refresh_tries(&bench.store, &bench.tpm, &token)?;
    assert_eq!(tries, Some(Tries { left: 2, max: 3 }), "one try, not five");
    Ok(())
}

#[test]
fn proving_the_pin_again_costs_a_try_only_if_it_is_wrong() -> TestResult {
    let mut bench = Bench::new();
    for wall in [WallKind::Counter, WallKind::Lockout] {
        let token = bench.token("work", wall);
        let open = bench.login(&token, PIN)?;
        open.verify(&bench.store, &pin(PIN))?;
        let err = failure(open.verify(&bench.store, &pin("wrong")));
        assert_matches!(err, Error::WrongPin { left: Some(2), .. });
        open.verify(&bench.store, &pin(PIN))?;
    }
    Ok(())
}
