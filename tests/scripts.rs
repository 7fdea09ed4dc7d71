//! What a script relies on: names as arguments, exit codes, JSON, and recovery codes in files.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

use serde_json::{Value, json};

use crate::program::{Outcome, Program, text, tpmssh};

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|err| panic!("{err}: {text:?}"))
}

#[test]
fn a_token_can_be_named_as_an_argument() {
    let program = Program::new();
    let pins = ["--pin-file", &program.pin, "--so-pin-file", &program.so_pin];
    for label in ["work", "play"] {
        program
            .run(&[&["token", "init", label], &pins[..]].concat())
            .ok();
    }
    let info = |args: &[&str]| parsed(&program.run(&[args, &["--json"]].concat()).ok());
    let play = info(&["token", "info", "play"]);
    assert_eq!(play["label"], "play");
    let serial = play["serial"].as_str().unwrap();
    assert_eq!(info(&["token", "info", serial]), play);
    // The same one twice is no contradiction.
    assert_eq!(info(&["--token", serial, "token", "info", "play"]), play);
    program
        .run(&["--token", "work", "token", "info", "play"])
        .fails(2, "tpmssh: two tokens are named\n");

    let new = program.secret("new", "new horse");
    let change = ["token", "change-pin", "play", "--pin-file", &program.pin];
    program
        .run(&[&change[..], &["--new-pin-file", &new]].concat())
        .ok();
    let so = ["--so-pin-file", &program.so_pin];
    let reset = ["token", "reset-pin", "play", "--new-pin-file", &program.pin];
    program.run(&[&reset[..], &so].concat()).ok();
    let repair = ["token", "repair", "play", "--new-pin-file", &new];
    program.run(&[&repair[..], &so].concat()).ok();
    let change = ["token", "change-so-pin", "play", "--new-so-pin-file", &new];
    program.run(&[&change[..], &so].concat()).ok();
    let renamed = program.run(&["token", "rename", "play", "toys"]);
    assert_eq!(
        renamed.stderr,
        "tpmssh: token \"play\" is called \"toys\" now\n"
    );
    let deleted = program.run(&["token", "delete", "toys", "--yes"]);
    assert_eq!(deleted.stderr, "tpmssh: token \"toys\" is deleted\n");
    // With one token nothing needs to be named.
    program.run(&["token", "rename", "tools"]).ok();
    assert_eq!(info(&["token", "info"])["label"], "tools");
    program.run(&["token", "delete", "nope", "--yes"]).fails(
        12,
        "tpmssh: no token \"nope\"\nhint: tpmssh token list shows what there is\n",
    );
}

#[test]
fn one_key_is_exported_unless_more_are_asked_for() {
    let program = Program::with_key();
    let first = program.run(&["export"]).ok();
    let init = ["ca", "init", "--pin-file", &program.pin];
    program.run(&init).ok();
    // The key of an authority is not for logins, so it is left out.
    assert_eq!(program.run(&["export"]).ok(), first);
    assert_eq!(program.run(&["export", "--all"]).ok(), first);
    assert!(program.run(&["export", "ca"]).ok().ends_with(" ca\n"));
    program.keygen("second");
    program.run(&["export"]).fails(
        2,
        "tpmssh: there are several keys: \"first\" and \"second\"\n\
         hint: say which one: tpmssh export LABEL; or all of them: tpmssh export --all\n",
    );
    let all = program.run(&["export", "--all"]).ok();
    assert_eq!(all.lines().count(), 2, "{all}");
    assert!(all.starts_with(&first), "{all}");
    for key in ["first", "second"] {
        program.run(&["delete", "--yes", key]).ok();
    }
    program.run(&["export"]).fails(
        12,
        "tpmssh: no key here is for logins: they are of certificate authorities, or do not sign\n\
         hint: name one: tpmssh export KEY; a key for logins: tpmssh keygen\n",
    );
    // A key that only decrypts is left out too, and is printed if it is named.
    let other = Program::with_token();
    let keygen = ["keygen", "-C", "box", "-t", "rsa", "--usage", "decrypt"];
    other
        .run(&[&keygen[..], &["--pin-file", &other.pin]].concat())
        .ok();
    other.run(&["export"]).fails(
        12,
        "tpmssh: no key here is for logins: they are of certificate authorities, or do not sign\n\
         hint: name one: tpmssh export KEY; a key for logins: tpmssh keygen\n",
    );
    other.run(&["export", "box"]).ok();
}

/// Exit code 12 for a name that does not exist, 2 for one that is ambiguous.
#[test]
fn a_script_can_ask_whether_something_is_there() {
    let program = Program::new();
    let code = |args: &[&str]| program.run(args).code;
    assert_eq!(code(&["list"]), Some(12), "no store");
    program.init("work");
    for args in [
        &["export"][..],
        &["export", "first"],
        &["delete", "first", "--yes"],
        &["sign", "-k", "first", &program.pin],
        &["csr", "first", "-s", "CN=a"],
        &["cert", "export"],
        &["cert", "remove", "1"],
        &["ca", "list"],
        &["ca", "public-key", "--ca", "ca"],
        &["token", "info", "play"],
        &["--token", "play", "list"],
    ] {
        assert_eq!(code(args), Some(12), "{args:?}");
    }
    program.keygen("first");
    assert_eq!(code(&["export", "first"]), Some(0));
    assert_eq!(
        code(&["ca", "list", "--ca", "first"]),
        Some(2),
        "no authority"
    );
}

#[test]
fn json_is_one_value_for_facts_deeds_and_failures() {
    let program = Program::with_key();
    let pin = ["--pin-file", &program.pin];
    let json = |args: &[&str]| parsed(&program.run(&[args, &["--json"]].concat()).ok());
    let with_pin = |args: &[&str]| json(&[args, &pin].concat());
    for args in [
        &["list"][..],
        &["export"],
        &["token", "list"],
        &["token", "info"],
        &["cert", "list"],
        &["doctor"],
        &["tpm", "info"],
        &["tpm", "selftest"],
        &["tpm", "random"],
        &["tpm", "lockout", "show"],
        &["tpm", "create-ek"],
        &["simulator", "status"],
    ] {
        let value = json(args);
        assert!(value.is_object() || value.is_array(), "{args:?}: {value}");
    }
    assert!(with_pin(&["sign", &program.so_pin])["signature"].is_string());
    assert!(with_pin(&["csr", "first", "-s", "CN=a"]).is_object());
    assert_eq!(with_pin(&["ca", "init"])["authority"], true);
    let public = program.secret("key.pub", &program.run(&["export"]).ok());
    let sign = [
        "ca",
        "sign-user",
        &public,
        "-I",
        "anna",
        "-n",
        "a",
        "-V",
        "+1h",
    ];
    let certificate = with_pin(&sign)["certificate"].clone();
    let certificate = program.secret("cert.pub", certificate.as_str().unwrap());
    let krl = text(program.home.path().join("krl"));
    assert_eq!(
        json(&["ca", "revoke", "--key-id", "anna"])["revoked"][0]["key_id"],
        "anna"
    );
    let mut list = json(&["ca", "krl", &krl]);
    assert!(list["number"].take().is_u64());
    assert_eq!(
        list,
        json!({"file": krl, "number": null, "certificates": 1, "keys": 0})
    );
    assert!(json(&["ca", "read-krl", &krl])["number"].is_u64());
    for (args, done) in [
        (
            &["cert", "add", &certificate][..],
            "certificate 1 of key \"first\" is kept: \"anna\" (valid)",
        ),
        (
            &["cert", "remove", "1"],
            "certificate 1 of key \"first\" is removed",
        ),
        (
            &["delete", "--yes", "first"],
            "ecdsa-p256 key \"first\" is deleted",
        ),
        (
            &["token", "rename", "play"],
            "token \"work\" is called \"play\" now",
        ),
        (&["token", "delete", "--yes"], "token \"play\" is deleted"),
    ] {
        let outcome = program.run(&[args, &["--json"]].concat());
        assert_eq!(outcome.stderr, "", "{args:?}");
        assert_eq!(parsed(&outcome.ok()), json!({ "done": done }));
    }

    for (args, code, error, hint) in [
        (
            &["export", "nope", "--json"][..],
            12,
            "no key \"nope\"",
            Some("tpmssh list shows what there is"),
        ),
        (
            &["--json", "nonsense"],
            2,
            "unrecognized subcommand 'nonsense'",
            Some("see tpmssh --help"),
        ),
        (
            &["--json", "sign", "/nowhere"],
            12,
            "there is no key yet",
            Some("make one first: tpmssh keygen"),
        ),
    ] {
        let outcome = program.run(args);
        assert_eq!(
            (outcome.code, outcome.stdout.as_str()),
            (Some(code), ""),
            "{args:?}"
        );
        assert_eq!(outcome.stderr.lines().count(), 1, "{outcome:?}");
        assert_eq!(
            parsed(&outcome.stderr),
            json!({"error": error, "hint": hint, "exit_code": code})
        );
    }
}

#[test]
fn a_recovery_code_goes_to_a_file_of_its_own() {
    let program = Program::new();
    let out = text(program.home.path().join("code"));
    let pin = ["--pin-file", &program.pin];
    let init = |label: &str, out: &str| {
        program.run(&[&["token", "init", label, "--so-pin-out", out], &pin[..]].concat())
    };
    let made = init("work", &out);
    assert_eq!(made.stderr, "");
    made.ok();
    let mode = fs::metadata(&out).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let code = fs::read_to_string(&out).unwrap();
    assert_eq!((code.len(), code.lines().count()), (24, 1));
    // It is the right one, and the file is what the other option takes.
    let reset = [
        "token",
        "reset-pin",
        "--so-pin-file",
        &out,
        "--new-pin-file",
    ];
    program.run(&[&reset[..], &[&program.pin]].concat()).ok();

    // What is there stays, and nothing is made.
    let exists = format!("tpmssh: cannot write {out}: File exists (os error 17)\n");
    init("second", &out).fails(11, &exists);
    assert_eq!(fs::read_to_string(&out).unwrap(), code);
    let link = text(program.home.path().join("link"));
    symlink(program.home.path().join("elsewhere"), &link).unwrap();
    init("second", &link).fails(11, &exists.replace(&out, &link));
    init("second", "/no/such/dir").fails(
        11,
        "tpmssh: cannot write /no/such/dir: No such file or directory (os error 2)\n",
    );
    let tokens = parsed(&program.run(&["token", "list", "--json"]).ok());
    assert_eq!(tokens.as_array().unwrap().len(), 1);

    // A token that is not made leaves no file.
    let other = text(program.home.path().join("other"));
    init("work", &other).fails(
        2,
        "tpmssh: there is a token called \"work\" already\n\
         hint: give another label; tpmssh token list shows what there is\n",
    );
    assert!(!fs::exists(&other).unwrap());
    let wrong = program.secret("wrong", "wrong");
    let owner = ["--owner-auth-file", &wrong];
    let args = ["token", "init", "second", "--so-pin-out", &other];
    let refused = program.run(&[&args[..], &pin, &owner].concat());
    assert_eq!(refused.code, Some(3), "{refused:?}");
    assert!(!fs::exists(&other).unwrap());

    let change = [
        "token",
        "change-so-pin",
        "--so-pin-file",
        &out,
        "--so-pin-out",
        &other,
    ];
    let changed = program.run(&change);
    assert_eq!(
        changed.stderr,
        "tpmssh: the SO PIN of token \"work\" is changed\n"
    );
    changed.ok();
    assert_ne!(fs::read_to_string(&other).unwrap(), code);

    let fresh = testing::Home::with_tcti(program.swtpm.tcti());
    let mut setup = tpmssh(&fresh);
    let code = text(fresh.path().join("code"));
    let setup = Outcome::of(
        setup
            .args(["setup", "--json", "--so-pin-out", &code])
            .args(pin),
    );
    assert!(!setup.stderr.contains("(SO PIN): "), "{setup:?}");
    parsed(&setup.ok());
    assert_eq!(fs::read_to_string(&code).unwrap().len(), 24);
}
