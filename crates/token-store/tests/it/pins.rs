//! PINs of every form, and what time does to the chip's lockout.

use testing::assert_matches;
use token_store::{Error, WallKind, token};
use tpm_core::{
    LockoutAuth,
    lockout::{self, Parameters},
};

use crate::{Bench, PIN, TestResult, failure, pin};

#[test]
fn a_pin_of_any_form_is_set_and_opens() -> TestResult {
    let long = "x".repeat(256);
    let mut bench = Bench::new();
    let token = bench.token("work", WallKind::Counter);
    let mut before = PIN;
    // Each is set as the first and typed as the second: composed and decomposed are the same.
    for (set, typed) in [
        ("0000", "0000"),
        (long.as_str(), long.as_str()),
        ("\u{1f511}\u{1f511}\u{1f9ea}", "\u{1f511}\u{1f511}\u{1f9ea}"),
        ("caf\u{e9} cr\u{e8}me", "cafe\u{301} cre\u{300}me"),
        (" spaces count ", " spaces count "),
    ] {
        token::change_pin(
            &mut bench.store,
            &bench.tpm,
            &token,
            &pin(before),
            &pin(set),
        )?;
        bench.login(&token, typed)?;
        before = set;
    }
    let err = failure(bench.login(&token, "spaces count"));
    assert_matches!(err, Error::WrongPin { left: Some(2), .. });
    Ok(())
}

#[test]
fn time_opens_the_chips_lockout_again() -> TestResult {
    let mut bench = Bench::new();
    let token = bench.token("work", WallKind::Lockout);
    let quick = Parameters {
        max_tries: 2,
        interval: 1,
        recovery: 1,
    };
    lockout::set_parameters(&bench.tpm.begin()?, None, &LockoutAuth::empty(), quick)?;
    for _ in 0..2 {
        failure(bench.login(&token, "wrong"));
    }
    let err = failure(bench.login(&token, PIN));
    assert_matches!(err, Error::ChipLocked { recovery: Some(1) });
    testing::eventually(|| bench.login(&token, PIN).is_ok());
    Ok(())
}
