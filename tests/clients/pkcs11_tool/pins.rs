//! PINs and tokens.

use super::{PIN, Program, SO_PIN, ok, refused};

const LOGIN: [&str; 3] = ["--login", "--pin", PIN];
const SO_LOGIN: [&str; 5] = ["--login", "--login-type", "so", "--so-pin", SO_PIN];

fn login_works(program: &Program, pin: &str) {
    ok(program, &["--login", "--pin", pin, "-O"]);
}

#[test]
fn the_user_changes_the_pin() {
    let program = Program::with_key();
    let change = ["--change-pin", "--new-pin", "another pin"];
    let wrong = ["--login", "--pin", "incorrect horse"];
    let err = refused(&program, &[&wrong[..], &change].concat());
    assert!(err.contains("CKR_PIN_INCORRECT"), "{err}");
    let long = "x".repeat(300);
    let too_long = ["--change-pin", "--new-pin", &long];
    let err = refused(&program, &[&LOGIN[..], &too_long].concat());
    assert!(err.contains("CKR_PIN_LEN_RANGE"), "{err}");
    login_works(&program, PIN);
    ok(&program, &[&LOGIN[..], &change].concat());
    login_works(&program, "another pin");
    // The old PIN is checked without a login too.
    let change = ["--change-pin", "--new-pin", PIN, "--pin"];
    let err = refused(&program, &[&change[..], &["incorrect horse"]].concat());
    assert!(err.contains("CKR_PIN_INCORRECT"), "{err}");
    ok(&program, &[&change[..], &["another pin"]].concat());
    login_works(&program, PIN);
}

#[test]
fn the_officer_changes_both_pins() {
    let program = Program::with_key();
    let set = ["--init-pin", "--new-pin", "set by officer"];
    ok(&program, &[&SO_LOGIN[..], &set].concat());
    login_works(&program, "set by officer");
    let change = ["--change-pin", "--new-pin", "other staple"];
    ok(&program, &[&SO_LOGIN[..], &change].concat());
    let err = refused(&program, &[&SO_LOGIN[..], &set].concat());
    assert!(err.contains("CKR_PIN_INCORRECT"), "{err}");
    let so = ["--login", "--login-type", "so", "--so-pin", "other staple"];
    ok(
        &program,
        &[&so[..], &["--init-pin", "--new-pin", PIN]].concat(),
    );
    login_works(&program, PIN);
}

/// pkcs11-tool calls `C_SetPIN` without a login for this, with the SO PIN as the old one.
#[test]
fn the_officers_pin_unlocks_a_locked_token() {
    let program = Program::with_key();
    let unlock = ["--unlock-pin", "--new-pin", "new pin", "--puk"];
    // Only if the user PIN is locked: before that, the old PIN is compared with the user PIN.
    let err = refused(&program, &[&unlock[..], &[SO_PIN]].concat());
    assert!(err.contains("CKR_PIN_INCORRECT"), "{err}");
    for _ in 0..2 {
        refused(&program, &["--login", "--pin", "incorrect horse", "-O"]);
    }
    let err = refused(&program, &["--login", "--pin", PIN, "-O"]);
    assert!(err.contains("CKR_PIN_LOCKED"), "{err}");
    let err = refused(&program, &[&unlock[..], &["wrong staple"]].concat());
    assert!(err.contains("CKR_PIN_LOCKED"), "{err}");
    ok(&program, &[&unlock[..], &[SO_PIN]].concat());
    login_works(&program, "new pin");
    assert!(!ok(&program, &["-T"]).contains("locked"));
}

#[test]
fn a_second_token_is_made_and_one_is_made_anew() {
    let program = Program::with_key();
    let second = ["--init-token", "--label", "second", "--slot", "1"];
    ok(
        &program,
        &[&second[..], &["--so-pin", "second staple"]].concat(),
    );
    let tokens = ok(&program, &["-T"]);
    assert!(
        tokens.contains("work") && tokens.contains("second"),
        "{tokens}"
    );

    let anew = ["--init-token", "--label", "anew", "--slot", "0", "--so-pin"];
    let err = refused(&program, &[&anew[..], &["wrong staple"]].concat());
    assert!(err.contains("CKR_PIN_INCORRECT"), "{err}");
    assert!(ok(&program, &["-O", "--slot", "0"]).contains("first"));
    ok(&program, &[&anew[..], &[SO_PIN]].concat());
    let tokens = ok(&program, &["-T"]);
    assert!(
        tokens.contains("anew") && !tokens.contains("work"),
        "{tokens}"
    );
    assert!(!ok(&program, &["-O", "--token-label", "anew"]).contains("first"));
}
