//! Texts of reports, questions and refusals that no other test checks.

use std::fs;
use std::thread;

use crate::program::{Program, run, text};
use crate::terminal::Session;

/// A program whose key `ca` is an authority.
fn with_authority() -> Program {
    let program = Program::with_key();
    program
        .run(&["ca", "init", "--pin-file", &program.pin])
        .ok();
    program
}

#[test]
fn a_revocation_of_nothing_that_was_signed_is_told_and_withdrawn_with_a_yes() {
    let program = with_authority();
    let revoke = ["ca", "revoke", "--key-id", "nobody"];
    program.run(&revoke).fails(
        12,
        "tpmssh: this authority signed no certificate with this key id\n\
         hint: tpmssh ca list shows what was signed; --force revokes it anyway\n",
    );
    let forced = program.run(&[&revoke[..], &["--force"]].concat());
    assert_eq!(
        forced.stderr,
        "tpmssh: revoked; no certificate that this authority signed is concerned\n\
         tpmssh: give servers a new list: tpmssh ca krl FILE\n"
    );
    let unrevoke = ["ca", "unrevoke", "--key-id", "nobody"];
    program.run(&unrevoke).fails(
        2,
        "tpmssh: this has to be confirmed, and there is no terminal to ask on\n\
         hint: add --yes if you mean it\n",
    );
    let question =
        "Servers with the next list will not refuse this any more (0 certificates). Go on? [y/N] ";
    let mut session = Session::start(&program, &unrevoke);
    session.expect(question);
    session.type_in("n\n");
    let (status, shown) = session.end();
    assert_eq!(status.code(), Some(1));
    assert!(
        shown.ends_with("tpmssh: not confirmed, nothing was changed\r\n"),
        "{shown}"
    );
    let mut session = Session::start(&program, &unrevoke);
    session.expect(question);
    session.type_in("y\n");
    session.expect(
        "tpmssh: the revocation is withdrawn; no certificate that this authority signed is \
         concerned\r\n",
    );
    assert!(session.end().0.success());

    let list = text(program.home.path().join("list"));
    program.run(&["ca", "krl", &list]).ok();
    let read = program.run(&["ca", "read-krl", &list]);
    assert_eq!(read.stderr, "tpmssh: the list revokes nothing\n");
    assert!(
        read.ok()
            .contains("revokes    0 serial numbers, 0 key ids, 0 keys\n")
    );
}

#[test]
fn a_certificate_has_to_end_after_its_beginning() {
    let program = with_authority();
    let public = program.secret("key.pub", &program.run(&["export", "first"]).ok());
    for (span, why) in [
        (
            "forever",
            "a certificate has to end: give a time such as +52w",
        ),
        (
            "always:forever",
            "a certificate has to end: give a time such as +52w",
        ),
        ("+2d:+1d", "it ends before it begins"),
    ] {
        let sign = ["ca", "sign-user", &public, "-I", "a", "-n", "b", "-V", span];
        let said = format!(
            "tpmssh: invalid value '{span}' for '--validity <SPAN>': {why}\n\
             hint: see tpmssh ca sign-user --help\n"
        );
        program.run(&sign).fails(2, &said);
    }
}

/// Public keys in the forms of other programs: the text names the command that converts them.
#[test]
fn keys_in_other_forms_are_refused_with_what_converts_them() {
    let program = with_authority();
    let at = |name: &str| text(program.home.path().join(name));
    let (ec, rsa) = (at("ec.pem"), at("rsa.pem"));
    run(
        "openssl",
        &[
            "ecparam",
            "-name",
            "prime256v1",
            "-genkey",
            "-noout",
            "-out",
            &ec,
        ],
    );
    run(
        "openssl",
        &["ec", "-in", &ec, "-pubout", "-out", &at("ec.pub")],
    );
    run("openssl", &["genrsa", "-out", &rsa, "2048"]);
    run(
        "openssl",
        &[
            "rsa",
            "-in",
            &rsa,
            "-RSAPublicKey_out",
            "-out",
            &at("rsa.pub"),
        ],
    );
    program.secret(
        "a.ppk",
        "PuTTY-User-Key-File-3: ecdsa-sha2-nistp256\nEncryption: none\n",
    );
    for (file, why) in [
        (
            "ec.pub",
            "it has the form of PEM; ssh-keygen -i -m PKCS8 -f FILE prints OpenSSH's",
        ),
        (
            "rsa.pub",
            "it has the form of PEM; ssh-keygen -i -m PEM -f FILE prints OpenSSH's",
        ),
        (
            "a.ppk",
            "it is a private key of PuTTY; puttygen -L FILE prints the public one",
        ),
        (
            "ec.pem",
            "it is a private key; the public one is in the file that ends in .pub",
        ),
    ] {
        let file = at(file);
        let said = format!("tpmssh: unusable {file}: {why}\n");
        let sign = ["ca", "sign-user", &file, "-I", "a", "-n", "b", "-V", "+1d"];
        program.run(&sign).fails(2, &said);
        program.run(&["cert", "add", &file]).fails(2, &said);
    }
    // The command in the message does convert the key.
    let converted = run("ssh-keygen", &["-i", "-m", "PKCS8", "-f", &at("ec.pub")]);
    let file = program.secret("converted.pub", &converted);
    let sign = ["ca", "sign-user", &file, "-I", "a", "-n", "b", "-V", "+1d"];
    program
        .run(&[&sign[..], &["--pin-file", &program.pin]].concat())
        .ok();
}

#[test]
fn a_counter_that_is_not_there_is_not_removed() {
    let program = Program::with_token();
    program
        .run(&["token", "remove-counter", "0x01801234"])
        .fails(
            12,
            "tpmssh: no PIN counter without a token is at NV index 0x01801234\n\
         hint: tpmssh doctor shows what there is\n",
        );
    program.run(&["token", "remove-counter", "counter"]).fails(
        2,
        "tpmssh: invalid value 'counter' for '<INDEX>': it takes a number such as 0x01801234\n\
         hint: see tpmssh token remove-counter --help\n",
    );
}

/// `--yes` also spends the last try, and the page of each command that takes a PIN says so.
#[test]
fn the_help_of_yes_says_that_it_spends_the_last_try() {
    let program = Program::new();
    for command in [
        &["keygen"][..],
        &["setup"],
        &["import"],
        &["csr"],
        &["sign"],
        &["unlock"],
        &["prove"],
        &["ca", "init"],
        &["ca", "sign-user"],
        &["ca", "sign-host"],
        &["ca", "renew"],
        &["token", "change-pin"],
        &["token", "repair"],
        &["token", "reset-pin"],
    ] {
        let page = program.run(&[command, &["--help"]].concat()).ok();
        let words = page.split_whitespace().collect::<Vec<_>>().join(" ");
        let Some((_, yes)) = words.split_once("-y, --yes ") else {
            // A command that takes only recovery codes (SO PINs) does not ask before the last try.
            assert!(
                !words.contains("--pin-file"),
                "{command:?} takes a PIN and no --yes: {page}"
            );
            continue;
        };
        assert!(
            yes.split(" -")
                .next()
                .unwrap()
                .contains("only one try is left"),
            "{command:?}: {page}"
        );
    }
}

/// Several commands at once change keys: each key has its file in the end, and nothing else is there.
#[test]
fn files_of_public_keys_are_right_after_commands_at_the_same_time() {
    let program = Program::new();
    let init = ["token", "init", "--label", "work", "--pin-wall", "none"];
    program.run(&init).ok();
    thread::scope(|scope| {
        for number in 0..6 {
            let program = &program;
            scope.spawn(move || {
                let label = format!("key{number}");
                program.run(&["keygen", "-C", &label]).ok();
                program
                    .run(&["rename", &label, &format!("renamed{number}")])
                    .ok();
            });
        }
    });
    let dir = program.home.path().join(".ssh/tpmssh");
    let mut there = Vec::new();
    for entry in fs::read_dir(&dir).unwrap() {
        let line = fs::read_to_string(entry.unwrap().path()).unwrap();
        assert!(line.ends_with('\n') && line.lines().count() == 1, "{line}");
        there.push(line);
    }
    there.sort();
    let exported = program.run(&["export", "--all"]).ok();
    let mut expected: Vec<_> = exported.lines().map(|line| format!("{line}\n")).collect();
    expected.sort();
    assert_eq!(there, expected);
}
