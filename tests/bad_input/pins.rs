//! PINs that are wrong or cannot be PINs, and places from where none comes.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;

use super::tries_left;
use crate::program::{Outcome, Program};

#[test]
fn wrong_pins_until_the_token_is_locked() {
    let program = Program::with_key();
    let wrong = program.secret("wrong", "incorrect horse");
    let keygen = |pin: &str| program.run(&["keygen", "--yes", "--pin-file", pin]);
    keygen(&wrong).fails(3, "tpmssh: wrong PIN, 2 tries left\n");
    keygen(&wrong).fails(3, "tpmssh: wrong PIN, 1 try left\n");
    assert_eq!(tries_left(&program), 1);
    // The last try is not spent without a yes, whatever the command.
    for command in [
        &["keygen"][..],
        &["sign", "pin"],
        &["csr", "first", "--subject", "CN=a"],
    ] {
        let refused = [command, &["--pin-file", &wrong]].concat();
        program.run(&refused).fails(
            2,
            "tpmssh: only 1 try is left, and a wrong PIN would lock the token\n\
             hint: add --yes if you are sure of the PIN\n",
        );
    }
    assert_eq!(tries_left(&program), 1);
    let reset = "hint: the recovery code (SO PIN) sets a new PIN: tpmssh token reset-pin\n";
    keygen(&wrong).fails(
        3,
        &format!("tpmssh: wrong PIN, and no more tries left\n{reset}"),
    );
    let locked = format!("tpmssh: the PIN is locked after too many wrong ones\n{reset}");
    keygen(&wrong).fails(4, &locked);
    keygen(&program.pin).fails(4, &locked);
    let new = program.secret("new", "new horse");
    program
        .run(&[
            "token",
            "change-pin",
            "--pin-file",
            &program.pin,
            "--new-pin-file",
            &new,
        ])
        .fails(4, &locked);
    assert!(program.run(&["token", "list"]).ok().contains("locked"));

    program
        .run(&[
            "token",
            "reset-pin",
            "--so-pin-file",
            &program.so_pin,
            "--new-pin-file",
            &new,
        ])
        .ok();
    keygen(&new).ok();
    assert_eq!(tries_left(&program), 3);
}

#[test]
fn pins_that_cannot_be_pins_cost_no_try() {
    let program = Program::with_token();
    let no_try = "hint: no try was spent\n";
    for (pin, why, hint) in [
        (&b"123\n"[..], "a PIN has at least 4 bytes", ""),
        (b"\n", "a PIN has at least 4 bytes", ""),
        (&[b'1'; 257], "a PIN has at most 256 bytes", no_try),
        (
            b"12\x0034\n",
            "a PIN cannot contain control characters",
            no_try,
        ),
        (
            b"correct horse\r\n",
            "a PIN cannot contain control characters",
            no_try,
        ),
        (b"123\xff4\n", "a PIN must be UTF-8 text", no_try),
    ] {
        program
            .run_with_input(&["keygen", "--pin-fd", "0"], pin)
            .fails(3, &format!("tpmssh: unusable PIN: {why}\n{hint}"));
    }
    program
        .run_with_input(&["keygen", "--pin-fd", "0"], b"")
        .fails(2, "tpmssh: nothing to read from file descriptor 0\n");
    program
        .run_with_input(&["keygen", "--pin-fd", "0"], &[b'1'; 5000])
        .fails(
            2,
            "tpmssh: too much to read from file descriptor 0: at most 1 KiB are taken\n",
        );
    assert_eq!(tries_left(&program), 3);
    program.keygen("still good");
}

#[test]
fn pin_files_that_are_not_safe_or_not_there() {
    let program = Program::with_token();
    let exposed = program.secret("exposed", "correct horse");
    fs::set_permissions(&exposed, Permissions::from_mode(0o644)).unwrap();
    program.run(&["keygen", "--pin-file", &exposed]).fails(
        9,
        &format!(
            "tpmssh: {exposed} can be read by other users\nhint: if it is yours: chmod 600 {exposed}\n"
        ),
    );
    let lines = program.secret("lines", "correct horse\nsecond line\n");
    program
        .run(&["keygen", "--pin-file", &lines])
        .fails(2, &format!("tpmssh: {lines} has more than one line\n"));
    program
        .run(&["keygen", "--pin-file", "/nonexistent"])
        .fails(
            1,
            "tpmssh: cannot read /nonexistent: No such file or directory (os error 2)\n",
        );
    program.run(&["keygen", "--pin-fd", "77"]).fails(
        1,
        "tpmssh: cannot read file descriptor 77: No such file or directory (os error 2)\n",
    );
    assert_eq!(tries_left(&program), 3);
}

/// The program waits for none of these, and none costs a try.
#[test]
fn pins_from_where_none_can_be() {
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    let program = Program::with_token();
    let keygen = |option: &str, value: &str| program.run(&["keygen", option, value]);
    keygen("--pin-fd", "1").fails(
        1,
        "tpmssh: cannot read file descriptor 1: it is open for writing only\n",
    );
    let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&terminal).unwrap();
    unlockpt(&terminal).unwrap();
    let name = ptsname(&terminal, Vec::new())
        .unwrap()
        .into_string()
        .unwrap();
    keygen("--pin-file", &name).fails(
        2,
        &format!("tpmssh: {name} is a terminal\nhint: leave the option out to be asked\n"),
    );
    let file = program.secret("marked", "\u{feff}correct horse\n");
    keygen("--pin-file", &file).fails(
        2,
        &format!(
            "tpmssh: {file} begins with a byte order mark\n\
             hint: save it as UTF-8 without one; no try was spent\n"
        ),
    );
    assert_eq!(tries_left(&program), 3);
    // A pipe by its name, as a shell makes one for <(…).
    let script = "\"$0\" keygen -C piped --pin-file <(cat \"$1\") && \
                  \"$0\" keygen -C dash --pin-file - <\"$1\"";
    let mut shell = program.home.command("bash");
    shell.args(["-c", script, env!("CARGO_BIN_EXE_tpmssh"), &program.pin]);
    Outcome::of(&mut shell).ok();
}

#[test]
fn nobody_to_ask_is_an_error_and_no_empty_pin() {
    let program = Program::with_token();
    let mut setsid = program.home.command("setsid");
    setsid.args(["--wait", env!("CARGO_BIN_EXE_tpmssh"), "keygen"]);
    Outcome::of(&mut setsid).fails(
        1,
        "tpmssh: no way to ask for the PIN for token \"work\"\n\
         hint: use a terminal, set SSH_ASKPASS, or see --help for options that end in -file and -fd\n",
    );
    assert_eq!(tries_left(&program), 3);
}
