//! The TPM in its owner's hands: passwords typed and read, the lockout set, random numbers.

use crate::program::Program;
use crate::raw;
use crate::terminal::Session;

fn json(program: &Program, args: &[&str]) -> serde_json::Value {
    let said = program.run(&[args, &["--json"]].concat()).ok();
    serde_json::from_str(&said).unwrap()
}

/// Whether the owner, endorsement and lockout hierarchies have passwords.
fn passwords(program: &Program) -> [bool; 3] {
    let info = json(program, &["tpm", "info"]);
    ["owner", "endorsement", "lockout"].map(|which| info[which]["password_set"] == true)
}

#[test]
fn ownership_is_taken_at_a_terminal() {
    let program = Program::new();
    let mut session = Session::start(&program, &["tpm", "take-ownership"]);
    session.expect("This will\r\n  make the storage root key\r\n");
    session.expect("  set the owner password: needed for new tokens");
    session.expect("  set the lockout password: needed to end a lockout and to clear the TPM\r\n");
    session.expect("Go on? [y/N] ");
    session.type_in("y\n");
    for which in ["owner", "endorsement", "lockout"] {
        session.expect(&format!("New {which} password of the TPM: "));
        session.type_in(&format!("of the {which}\n"));
        session.expect(&format!("New {which} password of the TPM, again: "));
        session.type_in(&format!("of the {which}\n"));
    }
    let (status, rest) = session.end();
    assert!(status.success(), "{rest}");
    assert!(!rest.contains("of the owner"), "{rest}");
    assert_eq!(passwords(&program), [true; 3]);

    // Without a confirmation nothing is changed.
    let cleared = program.secret("lockout", "of the lockout");
    let clear = ["tpm", "clear", "--yes", "--lockout-auth-file", &cleared];
    program.run(&clear).ok();
    let mut session = Session::start(&program, &["tpm", "take-ownership"]);
    session.expect("Go on? [y/N] ");
    session.type_in("\n");
    session.expect("tpmssh: not confirmed, nothing was changed");
    assert_eq!(session.end().0.code(), Some(1));
    assert_eq!(passwords(&program), [false; 3]);
}

#[test]
fn a_password_comes_from_the_terminal_a_file_or_a_descriptor() {
    let program = Program::new();
    let mut session = Session::start(&program, &["tpm", "change-auth", "owner"]);
    session.expect("New owner password of the TPM: ");
    session.type_in("first\n");
    session.expect("New owner password of the TPM, again: ");
    session.type_in("first\n");
    assert!(session.end().0.success());
    assert_eq!(passwords(&program), [true, false, false]);

    // Both from one descriptor, in this order.
    let fds = ["--auth-fd", "0", "--new-auth-fd", "0"];
    let change = [&["tpm", "change-auth", "owner"], &fds[..]].concat();
    program.run_with_input(&change, b"wrong\nsecond\n").fails(
        3,
        "tpmssh: wrong owner password\nhint: no try was spent: this password may be tried again\n",
    );
    program.run_with_input(&change, b"first\nsecond\n").ok();
    let second = program.secret("second", "second");
    let remove = [
        "tpm",
        "change-auth",
        "owner",
        "--remove",
        "--auth-file",
        &second,
    ];
    program.run(&remove).ok();
    assert_eq!(passwords(&program), [false; 3]);
    let none = program.run(&["tpm", "change-auth", "owner", "--remove"]);
    assert_eq!(
        none.stderr,
        "tpmssh: the TPM has no owner password; nothing was changed\n"
    );
    none.ok();

    let long = program.secret("long", &"x".repeat(33));
    program
        .run(&["tpm", "change-auth", "owner", "--new-auth-file", &long])
        .fails(
            2,
            "tpmssh: unusable owner password: an authorization value is longer than 32 bytes\n",
        );
    program
        .run_with_input(
            &["tpm", "change-auth", "owner", "--new-auth-fd", "0"],
            b"\n",
        )
        .fails(
            2,
            "tpmssh: the new password is empty\n\
             hint: tpmssh tpm change-auth --remove takes a password away\n",
        );
}

#[test]
fn clearing_says_what_is_lost_and_asks_for_the_word() {
    let program = Program::with_key();
    let mut session = Session::start(&program, &["tpm", "clear"]);
    session.expect("Clearing the TPM destroys for ever\r\n  your token \"work\" with 1 key\r\n");
    session.expect("Type \"clear\" to go on: ");
    session.type_in("yes\n");
    session.expect("tpmssh: not confirmed, nothing was changed");
    assert_eq!(session.end().0.code(), Some(1));
    program.keygen("still there");
    let mut session = Session::start(&program, &["tpm", "clear"]);
    session.expect("Type \"clear\" to go on: ");
    session.type_in("clear\n");
    session.expect("tpmssh: the TPM is cleared");
    assert!(session.end().0.success());
    let keygen = program.run(&["keygen", "--pin-file", &program.pin]);
    assert_eq!(keygen.code, Some(6));
}

/// Only the owner can make a storage root key. The message to other users says so.
#[test]
fn a_missing_storage_root_key_takes_the_owner() {
    let program = Program::with_key();
    let owner = program.secret("owner", "of the owner");
    let set = ["tpm", "change-auth", "owner", "--new-auth-file", &owner];
    program.run(&set).ok();
    // `take-ownership` below makes the same key again, from the same seed.
    raw::evict_srk(&program.swtpm, "of the owner");
    let pins = ["--pin-file", &program.pin, "--so-pin-file", &program.so_pin];
    program
        .run(&[&["token", "init", "--label", "new"], &pins[..]].concat())
        .fails(
            3,
            "tpmssh: wrong authorization for the owner hierarchy\n\
             hint: give the owner password with --owner-auth-file FILE\n",
        );
    let own = ["tpm", "take-ownership", "--no-passwords", "--yes"];
    let owned = program.run(&[&own[..], &["--auth-file", &owner]].concat());
    // With `--yes` the plan is not printed.
    assert_eq!(owned.stderr, "");
    owned.ok();
    program.keygen("works again");
}

#[test]
fn the_lockout_is_set_in_words_of_time() {
    let program = Program::new();
    let set = |args: &[&str]| program.run(&[&["tpm", "lockout", "set"], args].concat());
    let shown = set(&[
        "--max-tries",
        "10",
        "--forgive-after",
        "10m",
        "--recovery",
        "1d",
    ])
    .ok();
    assert_eq!(
        shown,
        "state                   open\n\
         wrong tries             0 of 10\n\
         one forgiven            after 10 minutes with the machine on\n\
         password                none\n\
         after a wrong password  locked for 1 day\n"
    );
    set(&["--max-tries", "5"]).ok();
    let now = json(&program, &["tpm", "lockout", "show"]);
    let seconds = ["max_tries", "forgive_after", "recovery"].map(|name| now[name].as_u64());
    assert_eq!(seconds, [Some(5), Some(600), Some(86_400)]);
    set(&[]).fails(2, "tpmssh: nothing to set\n");
    set(&["--forgive-after", "0"]).fails(
        2,
        "tpmssh: a lockout that forgives after 0 seconds never locks\n",
    );
    set(&["--recovery", "soon"]).fails(
        2,
        "tpmssh: invalid value 'soon' for '--recovery <TIME>': a time is seconds or parts with s, m, \
         h, d, w: 90, 1h30m, 1w\nhint: see tpmssh tpm lockout set --help\n",
    );
}

/// Wrong SO PINs are counted by the chip, which doctor shows with the reason.
#[test]
fn a_wrong_so_pin_is_seen_by_doctor() {
    let program = Program::with_token();
    let wrong = program.secret("wrong", "wrong battery");
    let reset = [
        "token",
        "reset-pin",
        "--so-pin-file",
        &wrong,
        "--new-pin-file",
        &program.pin,
    ];
    assert_eq!(program.run(&reset).code, Some(3));
    let said = crate::doctor::unwrapped(&program.run(&["doctor"]).ok());
    let line = "warning  lockout               open, 1 of 3 wrong tries, one is forgiven after 17 \
        minutes; wrong SO PINs, wrong PINs without a counter and power failures count\n         \
        -> tpmssh tpm lockout reset\n";
    assert!(said.contains(line), "{said}");
    program.run(&["tpm", "lockout", "reset"]).ok();
    let said = crate::doctor::unwrapped(&program.run(&["doctor"]).ok());
    assert!(
        said.contains("ok       lockout               open, 0 of 3"),
        "{said}"
    );
}

#[test]
fn random_numbers_and_self_tests() {
    let program = Program::new();
    let random = |args: &[&str]| program.run(&[&["tpm", "random"], args].concat());
    let (one, two) = (random(&[]).ok(), random(&[]).ok());
    assert_eq!((one.len(), one == two), (65, false));
    assert_eq!(random(&["100"]).ok().trim_end().len(), 200);
    let mut raw = program.command();
    let raw = raw
        .args(["tpm", "random", "--raw", "1000"])
        .output()
        .unwrap();
    assert_eq!(raw.stdout.len(), 1000);
    assert_eq!(random(&["0"]).code, Some(2));
    let tested = json(&program, &["tpm", "selftest", "--incremental"]);
    assert_eq!(tested["result"], "passed");
}
