//! Owning the chip: taking ownership, passwords, lockout, and the life of tokens.

use testing::Swtpm;

use crate::program::{Outcome, Program, tpmssh};

fn lockout_count(program: &Program) -> u64 {
    let shown = program.run(&["tpm", "lockout", "show", "--json"]).ok();
    let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
    shown["wrong_tries"].as_u64().unwrap()
}

#[test]
fn a_wrong_password_is_told_and_what_it_costs() {
    let program = Program::new();
    let [right, wrong] = [
        program.secret("right", "right"),
        program.secret("wrong", "wrong"),
    ];
    let remove = |which: &str, file: &str| {
        program.run(&["tpm", "change-auth", which, "--remove", "--auth-file", file])
    };
    remove("owner", &wrong).fails(
        2,
        "tpmssh: the TPM has no owner password, and one was given\n",
    );
    for which in ["owner", "lockout"] {
        program
            .run(&["tpm", "change-auth", which, "--new-auth-file", &right])
            .ok();
    }
    remove("owner", &wrong).fails(
        3,
        "tpmssh: wrong owner password\nhint: no try was spent: this password may be tried again\n",
    );
    let hint = "hint: wait with the machine switched on; if the password is lost, clear the TPM in the firmware setup\n";
    remove("lockout", &wrong).fails(
        3,
        &format!("tpmssh: wrong lockout password; even the right one is refused now, for 17 minutes\n{hint}"),
    );
    remove("lockout", &right).fails(
        4,
        &format!("tpmssh: the TPM takes no lockout password after a wrong one, for at most 17 minutes\n{hint}"),
    );
}

#[test]
fn an_endorsement_key_is_made_where_there_is_none_and_shown_where_there_is() {
    let program = Program::new();
    let made = program.run(&["tpm", "create-ek"]);
    assert_eq!(
        made.stderr,
        "tpmssh: the TPM has no certificate for this endorsement key\n"
    );
    assert!(made.ok().contains("state            made now\n"));
    assert!(
        program
            .run(&["tpm", "create-ek"])
            .ok()
            .contains("was there")
    );
    let manufactured = Swtpm::manufactured();
    let shown = Outcome::of(tpmssh(&program.home).args([
        "--tcti",
        &manufactured.tcti(),
        "tpm",
        "create-ek",
    ]));
    assert!(shown.ok().ends_with("-----END CERTIFICATE-----\n"));
}

#[test]
fn three_wrong_pins_lock_one_token_and_nothing_else() {
    let program = Program::new();
    for label in ["mine", "other"] {
        program.init(label);
    }
    program
        .run(&[
            "token",
            "init",
            "--label",
            "open",
            "--pin-wall",
            "none",
            "--so-pin-file",
            &program.so_pin,
        ])
        .ok();
    let wrong = program.secret("wrong", "incorrect horse");
    let keygen = |token: &str, pin: &str| {
        program.run(&["--token", token, "keygen", "--yes", "--pin-file", pin])
    };
    for code in [3, 3, 3, 4] {
        assert_eq!(keygen("mine", &wrong).code, Some(code));
    }
    assert_eq!(keygen("mine", &program.pin).code, Some(4));
    keygen("other", &program.pin).ok();
    keygen("open", &program.pin).ok();
    assert_eq!(lockout_count(&program), 0);
    let reset = [
        "--token",
        "mine",
        "token",
        "reset-pin",
        "--so-pin-file",
        &program.so_pin,
    ];
    program
        .run(&[&reset[..], &["--new-pin-file", &program.pin]].concat())
        .ok();
    keygen("mine", &program.pin).ok();
}

/// A power failure counts towards the chip's lockout if an object that the lockout protects was used
/// since the start. Making a token uses one (the SO object), so the test restarts the TPM orderly
/// before the failures. A right PIN uses none.
#[test]
fn nine_power_failures_after_a_right_pin_lock_nothing() {
    let mut program = Program::with_token();
    program.swtpm.restart();
    for number in 0..9 {
        program.keygen(&format!("number {number}"));
        program.swtpm.kill();
        program.swtpm.restart();
    }
    program.keygen("the last");
    assert_eq!(lockout_count(&program), 0);
}
