//! What the commands do when all is well.

use std::fs;

use serde_json::Value;
use testing::Home;

use crate::program::{Outcome, PIN, Program, SO_PIN, run, text, tpmssh};

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn a_key_is_made_listed_exported_and_deleted() {
    let program = Program::with_token();
    let made = program.run(&[
        "keygen",
        "--label",
        "anna@laptop key",
        "--id",
        "01ab",
        "--pin-file",
        &program.pin,
        "--json",
    ]);
    let made = json(&made.ok());
    assert_eq!(made["type"], "ecdsa-p256");
    assert_eq!(made["id"], "01ab");
    assert_eq!(made["token"], "work");

    let list = program.run(&["list", "-l"]).ok();
    let fingerprint = made["fingerprint"].as_str().unwrap();
    let (made_line, others): (Vec<_>, Vec<_>) = list
        .lines()
        .partition(|line| line.starts_with("    made         20"));
    assert_eq!(made_line.len(), 1, "{list}");
    assert_eq!(
        others,
        [
            "token \"work\"",
            "  ecdsa-p256 key \"anna@laptop key\"",
            "    id           01ab",
            &format!("    fingerprint  {fingerprint}"),
            "    origin       born here, cannot leave",
        ]
    );

    let line = program.run(&["export"]).ok();
    assert_eq!(line.trim_end(), made["public_key"]);
    for name in ["anna@laptop key", "01AB", fingerprint] {
        assert_eq!(program.run(&["export", name]).ok(), line, "{name}");
    }
    let file = program.home.path().join("key.pub");
    fs::write(&file, &line).unwrap();
    let seen = run("ssh-keygen", &["-l", "-f", &text(file)]);
    assert_eq!(seen, format!("256 {fingerprint} anna@laptop key (ECDSA)\n"));

    let deleted = program.run(&["delete", "--yes", "01ab"]);
    assert_eq!(
        deleted.stderr,
        "tpmssh: ecdsa-p256 key \"anna@laptop key\" is deleted\n"
    );
    assert_eq!(deleted.ok(), "");
    let list = program.run(&["list-objects"]);
    assert_eq!(list.stderr, "tpmssh: no objects\n");
    assert_eq!(list.ok(), "");
}

#[test]
fn every_kind_of_key_is_one_that_openssh_reads() {
    let program = Program::with_token();
    for (kind, bits, shown) in [
        ("ecdsa", "256", "ECDSA"),
        ("ecdsa", "384", "ECDSA"),
        ("ecdsa", "521", "ECDSA"),
        ("rsa", "2048", "RSA"),
        ("rsa", "3072", "RSA"),
    ] {
        let made = program.run(&[
            "keygen",
            "-t",
            kind,
            "-b",
            bits,
            "-C",
            bits,
            "--pin-file",
            &program.pin,
            "--json",
        ]);
        let notice = match kind {
            "rsa" => format!("tpmssh: the TPM makes an rsa{bits} key; this can take minutes\n"),
            _ => String::new(),
        };
        assert_eq!(made.stderr, notice);
        let made = json(&made.ok());
        let file = program.home.path().join("key.pub");
        fs::write(&file, made["public_key"].as_str().unwrap()).unwrap();
        assert_eq!(
            run("ssh-keygen", &["-l", "-f", &text(file)]),
            format!(
                "{bits} {} {bits} ({shown})\n",
                made["fingerprint"].as_str().unwrap()
            )
        );
    }
    assert_eq!(program.run(&["export", "--all"]).ok().lines().count(), 5);
}

#[test]
fn the_default_label_is_user_at_host_key() {
    let program = Program::with_token();
    program.run(&["keygen", "--pin-file", &program.pin]).ok();
    let user = run("id", &["-un"]);
    let host = run("uname", &["-n"]);
    let comment = format!("{}@{} key", user.trim(), host.trim());
    assert!(program.run(&["export"]).ok().trim_end().ends_with(&comment));
}

#[test]
fn a_token_is_shown_as_it_is() {
    let program = Program::with_token();
    let token = json(&program.run(&["token", "list", "--json"]).ok());
    let serial = token[0]["serial"].as_str().unwrap();
    assert_eq!(serial.len(), 16);
    assert_eq!(
        token[0],
        serde_json::json!({
            "label": "work", "serial": serial, "pin_wall": "counter",
            "pin_set": true, "so_pin_set": true, "tries_left": 3, "max_tries": 3,
        })
    );
    assert_eq!(
        program.run(&["token", "list"]).ok(),
        format!(
            "LABEL  SERIAL            PIN WALL  PIN\nwork   {serial}  counter   3 of 3 tries left\n"
        )
    );
    // By its serial number as well.
    program
        .run(&["--token", serial, "keygen", "--pin-file", &program.pin])
        .ok();
}

#[test]
fn no_tokens_is_no_error() {
    let home = Home::new();
    let list = Outcome::of(tpmssh(&home).args(["token", "list"]));
    assert_eq!(list.stderr, "tpmssh: no tokens\n");
    assert_eq!(list.ok(), "");
    assert_eq!(
        Outcome::of(tpmssh(&home).args(["token", "list", "--json"])).ok(),
        "[]\n"
    );
}

#[test]
fn a_generated_so_pin_is_shown_once_and_works() {
    let program = Program::new();
    let made = program.run(&["token", "init", "--pin-file", &program.pin]);
    let so_pin = made
        .stderr
        .lines()
        .next()
        .unwrap()
        .strip_prefix("Recovery code (SO PIN): ")
        .unwrap()
        .to_owned();
    assert_eq!(so_pin.len(), 23);
    assert_eq!(made.ok(), "token \"ssh\" made\n");

    let so_pin = program.secret("generated", &so_pin);
    let new = program.secret("new", "new horse");
    let reset = program.run(&[
        "token",
        "reset-pin",
        "--so-pin-file",
        &so_pin,
        "--new-pin-file",
        &new,
    ]);
    assert_eq!(reset.stderr, "tpmssh: token \"ssh\" has the new PIN\n");
    reset.ok();
    program.run(&["keygen", "--pin-file", &new]).ok();
    assert_eq!(
        program.run(&["keygen", "--pin-file", &program.pin]).code,
        Some(3)
    );
}

#[test]
fn a_changed_pin_is_the_only_one() {
    let program = Program::with_key();
    let new = program.secret("new", "new horse");
    let changed = program.run(&[
        "token",
        "change-pin",
        "--pin-file",
        &program.pin,
        "--new-pin-file",
        &new,
    ]);
    assert_eq!(
        changed.stderr,
        "tpmssh: the PIN of token \"work\" is changed\n"
    );
    changed.ok();
    program.run(&["keygen", "--pin-file", &new]).ok();
    program
        .run(&[
            "token",
            "change-pin",
            "--pin-file",
            &program.pin,
            "--new-pin-file",
            &new,
        ])
        .fails(
            3,
            "tpmssh: the PIN was not changed: wrong PIN, 2 tries left\n",
        );
}

#[test]
fn two_pins_come_from_one_descriptor() {
    let program = Program::new();
    let input = format!("{SO_PIN}\n{PIN}\n");
    program
        .run_with_input(
            &["token", "init", "--so-pin-fd", "0", "--pin-fd", "0"],
            input.as_bytes(),
        )
        .ok();
    program.run(&["keygen", "--pin-file", &program.pin]).ok();
    program
        .run_with_input(
            &["token", "change-pin", "--pin-fd", "0", "--new-pin-fd", "0"],
            b"correct horse\nnew horse",
        )
        .ok();
}

#[test]
fn a_pin_comes_from_an_askpass_program() {
    let program = Program::with_token();
    let mut keygen = program.command();
    keygen
        .envs(program.home.askpass(program.pin.as_ref()))
        .arg("keygen");
    Outcome::of(&mut keygen).ok();
}

#[test]
fn other_pin_walls() {
    let program = Program::new();
    let [pin, so_pin] = [&program.pin, &program.so_pin];
    program
        .run(&[
            "token",
            "init",
            "--label",
            "chip",
            "--pin-wall",
            "lockout",
            "--pin-file",
            pin,
            "--so-pin-file",
            so_pin,
        ])
        .ok();
    program
        .run(&["--token", "chip", "keygen", "--pin-file", pin])
        .ok();

    program
        .run(&["token", "init", "--label", "open", "--pin-wall", "none"])
        .ok();
    program.run(&["--token", "open", "keygen"]).ok();
    let list = program.run(&["token", "list"]).ok();
    assert!(
        list.lines()
            .any(|line| line.starts_with("open ") && line.ends_with("  none      none")),
        "{list}"
    );
    program
        .run(&["--token", "open", "token", "change-pin"])
        .fails(1, "tpmssh: this token has no PIN\n");
}

#[test]
fn labels_are_shown_without_acting_on_the_terminal() {
    let program = Program::with_key();
    // As older versions and other programs may have made one.
    let store = program.home.store().join("store.db");
    let store = rusqlite::Connection::open(store).unwrap();
    let changed = store.execute("UPDATE object SET label = ?", ["a\x1b[2J\nb"]);
    assert_eq!(changed.unwrap(), 2);
    let listed = program.run(&["list-objects"]).ok();
    assert!(listed.contains("a\\u{1b}[2J\\nb"), "{listed}");
    assert!(program.run(&["export"]).ok().ends_with(" a?[2J?b\n"));
}

#[test]
fn the_tpm_is_shown_and_tests_itself() {
    let program = Program::new();
    let info = json(&program.run(&["tpm", "info", "--json"]).ok());
    assert_eq!(info["manufacturer"], "IBM");
    assert_eq!(info["emulated"], true);
    assert_eq!(info["connection"], program.swtpm.tcti());
    assert!(
        info["key_types"]
            .as_array()
            .unwrap()
            .contains(&"rsa2048".into())
    );
    assert_eq!(info["lockout"]["locked"], false);
    assert!(
        program
            .run(&["tpm", "info"])
            .ok()
            .starts_with("connection ")
    );
    assert_eq!(program.run(&["tpm", "selftest"]).ok(), "self test passed\n");
}

#[test]
fn what_needs_no_tpm_asks_none() {
    let mut program = Program::with_key();
    program.swtpm.stop();
    for command in [&["list-objects"][..], &["export"], &["token", "list"]] {
        assert_eq!(program.run(command).stderr, "");
    }
    program.run(&["delete", "-y", "first"]).ok();
}

/// Once hardened, an unprivileged process cannot read all of its own `/proc`.
#[test]
fn a_user_without_privileges_is_believed_what_the_environment_says() {
    if run("id", &["-u"]).trim() != "0" {
        return; // without root every other test shows it
    }
    let program = Program::new();
    let home = program.home.path();
    run("chown", &["-R", "65534:65534", &home.display().to_string()]);
    let as_nobody = |args: &[&str]| {
        let mut command = program.home.command("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
        Outcome::of(command.arg(env!("CARGO_BIN_EXE_tpmssh")).args(args))
    };
    as_nobody(&[
        "token",
        "init",
        "--pin-file",
        &program.pin,
        "--so-pin-file",
        &program.so_pin,
    ])
    .ok();
    as_nobody(&["keygen", "--pin-file", &program.pin]).ok();
    assert!(program.home.store().exists());
}

#[test]
fn help_and_version_are_there() {
    let home = Home::new();
    let out = |args: &[&str]| Outcome::of(tpmssh(&home).args(args)).ok();
    assert!(out(&["--help"]).contains("Exit codes: 0 done"));
    assert!(out(&["keygen", "--help"]).contains("--pin-fd"));
    assert!(out(&["--version"]).starts_with("tpmssh "));
    let bare = Outcome::of(&mut tpmssh(&home));
    assert_eq!((bare.code, bare.stdout.as_str()), (Some(2), ""));
    assert!(bare.stderr.contains("Usage: tpmssh"));
}

#[test]
fn a_full_disk_is_told_and_a_reader_that_left_is_not() {
    let home = Home::new();
    let full = fs::OpenOptions::new()
        .write(true)
        .open("/dev/full")
        .unwrap();
    let outcome = Outcome::of(tpmssh(&home).args(["token", "list", "--json"]).stdout(full));
    // Its output is not captured, so it is empty in any case.
    outcome.fails(
        11,
        "tpmssh: no tokens\n{\"error\":\"cannot write to stdout: No space left on device (os error 28)\",\"hint\":null,\"exit_code\":11}\n",
    );
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    Outcome::of(tpmssh(&home).arg("--help").stdout(writer)).fails(11, "");
}
