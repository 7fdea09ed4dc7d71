//! What a person runs into in the first days.

use std::process::Command;

use crate::program::{Outcome, Program, text};
use crate::terminal::Session;

#[test]
fn the_token_of_the_environment_is_meant_by_every_command() {
    let program = Program::with_token();
    program.init("play");
    let run = |token: &str, args: &[&str]| {
        let mut command = program.command();
        Outcome::of(command.env("TPMSSH_TOKEN", token).args(args))
    };
    let keygen = ["keygen", "-C", "mine", "--pin-file", &program.pin];
    run("nope", &keygen).fails(
        12,
        "tpmssh: no token \"nope\"\nhint: tpmssh token list shows what there is\n",
    );
    run("play", &keygen).ok();
    let listed = program.run(&["--token", "play", "export"]).ok();
    assert_eq!(listed.lines().count(), 1, "{listed}");
    assert_eq!(run("work", &["list"]).stdout, "");
    // An option counts more than the environment.
    let typed = run("nope", &["--token", "play", "export"]).ok();
    assert_eq!(typed, listed);
}

#[test]
fn help_is_a_command_and_list_another_name() {
    let program = Program::with_key();
    let overview = program.run(&["help"]).ok();
    assert_eq!(program.run(&["-h"]).ok(), overview);
    let page = program.run(&["help", "token", "init"]).ok();
    assert!(page.contains("Make a token"), "{page}");
    assert_eq!(
        program.run(&["list"]).ok(),
        program.run(&["list-objects"]).ok()
    );
}

#[test]
fn common_mistakes_on_the_command_line_are_explained() {
    let program = Program::new();
    for (line, hint) in [
        (
            "keygen -t ed25519",
            "hint: TPMs make no such keys; leave -t out for ecdsa, which every current server takes\n",
        ),
        (
            "keygen --pin 7777",
            "hint: every user of this machine can read a command line; leave the PIN out to be asked, \
             or use --pin-file FILE or --pin-fd FD\n",
        ),
        (
            "token reset-pin --so-pin=87654321",
            "hint: every user of this machine can read a command line; leave the PIN out to be asked, \
             or use --pin-file FILE or --pin-fd FD\n",
        ),
    ] {
        let words: Vec<_> = line.split(' ').collect();
        let outcome = program.run(&words);
        assert_eq!(outcome.code, Some(2), "{outcome:?}");
        assert!(outcome.stderr.ends_with(hint), "{line}: {outcome:?}");
    }
}

#[test]
fn git_hears_that_the_key_it_is_to_sign_with_is_gone() {
    let program = Program::with_key();
    let key = program.secret("key.pub", &program.run(&["export", "first"]).ok());
    let data = program.secret("data", "a commit");
    program.run(&["delete", "--yes", "first"]).ok();
    let sign = [
        "git", "program", "-Y", "sign", "-n", "git", "-f", &key, &data,
    ];
    let outcome = program.run(&sign);
    let fingerprint = crate::program::run("ssh-keygen", &["-l", "-f", &key]);
    let fingerprint = fingerprint.split(' ').nth(1).unwrap();
    outcome.fails(
        1,
        &format!(
            "tpmssh: the key {fingerprint} that git is to sign with is in no token here\n\
             hint: choose another key: tpmssh git setup\n"
        ),
    );
}

/// OpenSSL's engine passes the content of a PIN file to the module unchanged.
#[test]
fn the_module_takes_a_pin_from_a_file_with_a_line_end() {
    let program = Program::with_key();
    let module = text(testing::module());
    let sign = |pin: &str| {
        let mut tool: Command = program.home.command("pkcs11-tool");
        tool.args([
            "--module",
            &module,
            "--login",
            "--pin",
            pin,
            "--list-objects",
        ]);
        Outcome::of(&mut tool)
    };
    sign(&format!("{}\n", crate::program::PIN)).ok();
    let twice = sign(&format!("{}\n\n", crate::program::PIN));
    assert_ne!(twice.code, Some(0), "{twice:?}");
    let tries = program.run(&["token", "list"]).ok();
    assert!(tries.contains("3 of 3 tries left"), "{tries}");
}

#[test]
fn a_key_is_found_by_the_beginning_of_its_id_or_fingerprint() {
    let program = Program::with_key();
    program.keygen("second");
    let listed = program.run(&["list", "--json"]).ok();
    let keys: serde_json::Value = serde_json::from_str(&listed).unwrap();
    let key = &keys[1];
    let line = program.run(&["export", "second"]).ok();
    for (name, len) in [("id", 12), ("fingerprint", 16)] {
        let part = &key[name].as_str().unwrap()[..len];
        assert_eq!(program.run(&["export", part]).ok(), line, "{part}");
    }
    program.run(&["export", "SHA256:"]).fails(
        12,
        "tpmssh: no key \"SHA256:\"\nhint: tpmssh list shows what there is\n",
    );
    // The public key is the last line of what keygen says, alone.
    let made = program.keygen("third");
    assert!(
        made.lines()
            .last()
            .unwrap()
            .starts_with("ecdsa-sha2-nistp256 AAAA"),
        "{made}"
    );
}

#[test]
fn a_key_tells_when_it_was_made() {
    let now = || std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
    let before = now();
    let program = Program::new_with_key();
    for args in [&["list", "--json"][..], &["export", "--json"]] {
        let keys: serde_json::Value = serde_json::from_str(&program.run(args).ok()).unwrap();
        let created = keys[0]["created"].as_u64().unwrap();
        assert!((before..=now()).contains(&created), "{keys}");
    }
    let long = program.run(&["list", "--long"]).ok();
    let made = long.lines().find(|line| line.starts_with("    made  "));
    assert!(made.is_some_and(|line| line.ends_with(" UTC")), "{long}");
}

#[test]
fn a_key_is_renamed_and_stays_the_same() {
    let program = Program::with_key();
    let before = program.run(&["export"]).ok();
    program.keygen("second");
    let renamed = program.run(&["rename", "first", "anna@laptop"]);
    assert_eq!(
        renamed.stderr,
        "tpmssh: key \"first\" is called \"anna@laptop\" now\n"
    );
    renamed.ok();
    assert_eq!(
        program.run(&["export", "anna@laptop"]).ok(),
        before.replace(" first\n", " anna@laptop\n")
    );
    // Programs that use the module see it in both halves.
    let mut tool: Command = program.home.command("pkcs11-tool");
    tool.arg("--module").arg(testing::module());
    let objects = Outcome::of(tool.args(["--login", "--pin", crate::program::PIN, "-O"])).ok();
    assert_eq!(objects.matches("anna@laptop").count(), 2, "{objects}");
    program.run(&["rename", "anna@laptop", "second"]).fails(
        2,
        "tpmssh: there is a key called \"second\" already\n\
         hint: give another with --label; tpmssh list shows what there is\n",
    );
    program
        .run(&["rename", "second", " "])
        .fails(2, "tpmssh: unusable label: it is empty\n");
    program.run(&["rename", "first", "x"]).fails(
        12,
        "tpmssh: no key \"first\"\nhint: tpmssh list shows what there is\n",
    );
    program.run(&["rename", "second", "second"]).ok();
}

#[test]
fn an_authority_in_the_daily_token_and_its_end_are_spoken_of() {
    let program = Program::with_key();
    let init = program.run(&["ca", "init", "--pin-file", &program.pin]);
    assert!(
        init.stderr.starts_with(
            "tpmssh: token \"work\" has keys for logins as well: who knows its PIN can certify anybody. \
             A token of its own is safer: tpmssh token init ca\n"
        ),
        "{init:?}"
    );
    init.ok();
    let public = program.secret("key.pub", &program.run(&["export", "first"]).ok());
    let sign = [
        "ca",
        "sign-user",
        &public,
        "-I",
        "a",
        "-n",
        "a",
        "-V",
        "+1h",
    ];
    program
        .run(&[&sign[..], &["--pin-file", &program.pin]].concat())
        .ok();
    let mut session = Session::start(&program, &["delete", "ca"]);
    session.expect(
        ") for ever? It is a certificate authority: what it signed (1 certificate) stays valid and \
         cannot be revoked any more. [y/N] ",
    );
    session.type_in("n\n");
    assert_eq!(session.end().0.code(), Some(1));
    // In a token of its own nothing is said.
    program.init("ca");
    let args = [
        "--token",
        "ca",
        "ca",
        "init",
        "-C",
        "other",
        "--pin-file",
        &program.pin,
    ];
    let alone = program.run(&args);
    assert!(!alone.stderr.contains("safer"), "{alone:?}");
}

#[test]
fn a_revocation_list_is_described_and_not_written_to_a_terminal() {
    let program = Program::with_token();
    program
        .run(&["ca", "init", "--pin-file", &program.pin])
        .ok();
    for (option, value) in [("--serial", "7"), ("--serial", "9"), ("--key-id", "anna")] {
        program
            .run(&["ca", "revoke", "--force", option, value])
            .ok();
    }
    let list = text(program.home.path().join("list"));
    program.run(&["ca", "krl", &list]).ok();
    let read = program.run(&["ca", "read-krl", &list]).ok();
    assert!(
        read.ends_with("revokes    2 serial numbers, 1 key id, 0 keys\n"),
        "{read}"
    );
    let session = Session::start(&program, &["ca", "krl", "-"]);
    let (status, shown) = session.end();
    assert_eq!(status.code(), Some(2));
    assert_eq!(
        shown,
        "tpmssh: a revocation list is not text: name a file instead of -\r\n"
    );
}

/// A TPM that another program keeps busy, or that hangs.
#[test]
fn after_two_seconds_one_hears_what_is_waited_for() {
    let program = Program::with_key();
    program.swtpm.pause();
    let mut session = Session::start(&program, &["tpm", "info"]);
    session.expect("tpmssh: waiting for the TPM (Ctrl-C stops it)\r\n");
    program.swtpm.resume();
    session.expect("connection ");
    let (status, shown) = session.end();
    assert!(status.success() && !shown.contains("waiting"), "{shown}");
    // The same for a command that opens the store first, and the TPM after a question.
    let file = program.secret("file", "a text");
    let mut session = Session::start(&program, &["sign", "-n", "file", &file]);
    session.expect("PIN for token \"work\": ");
    program.swtpm.pause();
    session.type_in(&format!("{}\n", crate::program::PIN));
    session.expect("tpmssh: waiting for the TPM (Ctrl-C stops it)\r\n");
    program.swtpm.resume();
    session.expect("-----BEGIN SSH SIGNATURE-----");
    let (status, shown) = session.end();
    assert!(status.success() && !shown.contains("waiting"), "{shown}");
}
