//! An imported key says so, wherever keys are shown; and one that was made here does not.

use std::fs;

use testing::Tap;

use super::{PASSPHRASE, import, old_key};
use crate::agent::served::{Served, eventually, socket};
use crate::clients::module_path;
use crate::program::{Outcome, PIN, Program};
use crate::terminal::Session;

/// A program with a token without a PIN, the key `here` made in it and `me@old` imported.
fn with_both() -> Program {
    let program = Program::new();
    let init = ["token", "init", "--label", "work", "--pin-wall", "none"];
    program.run(&init).ok();
    program.run(&["keygen", "--label", "here"]).ok();
    let file = old_key(&program, "id", ["ecdsa", "256"], "");
    program.run(&["import", "--yes", &file]).ok();
    program
}

#[test]
fn lists_and_counts_say_which_keys_are_imported() {
    let program = with_both();
    let listed = program.run(&["list"]).ok();
    let kinds: Vec<_> = listed
        .lines()
        .map(|line| line.split("  ").filter(|cell| !cell.is_empty()).nth(1))
        .map(|kind| kind.unwrap().trim())
        .collect();
    assert_eq!(kinds, ["KIND", "key", "key, imported"], "{listed}");
    let long = program.run(&["list", "--long"]).ok();
    assert!(long.contains("  ecdsa-p256 key \"here\"\n"), "{long}");
    assert!(
        long.contains("  ecdsa-p256 key \"me@old\" (imported)\n"),
        "{long}"
    );
    let json = program.run(&["list", "--json"]).ok();
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let origins: Vec<_> = json
        .as_array()
        .unwrap()
        .iter()
        .map(|key| &key["origin"])
        .collect();
    assert_eq!(origins, ["born-here", "imported"]);

    let info = program.run(&["token", "info"]).ok();
    assert!(
        info.contains("2 keys (1 imported), 2 public keys, "),
        "{info}"
    );
    let json = program.run(&["token", "info", "--json"]).ok();
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&json["keys"], &json["imported"]), (&2.into(), &1.into()));

    let doctor = crate::doctor::unwrapped(&program.run(&["doctor"]).stdout);
    let note = "1 key was made outside of this TPM";
    assert!(doctor.contains(note), "{doctor}");
    let fix = "replace it when you can: tpmssh keygen, then tpmssh copy-id --replace OLD.pub HOST";
    assert!(doctor.contains(fix), "{doctor}");
    program.run(&["delete", "--yes", "me@old"]).ok();
    let doctor = crate::doctor::unwrapped(&program.run(&["doctor"]).stdout);
    assert!(!doctor.contains("outside of this TPM"), "{doctor}");
    let info = program.run(&["token", "info"]).ok();
    assert!(info.contains("1 key, 1 public key, "), "{info}");
}

#[test]
fn the_agent_says_it_in_its_list_and_its_log() {
    let program = with_both();
    let agent = Served::start(&program);
    let listed = agent.ssh_add(&["-l"]).ok();
    assert!(listed.contains(" here (ECDSA)\n"), "{listed}");
    assert!(listed.contains(" me@old (imported) (ECDSA)\n"), "{listed}");
    for key in ["here", "me@old"] {
        let public = program.secret(key, &program.run(&["export", key]).ok());
        agent.ssh_add(&["-T", &public]).ok();
    }
    let log = || program.run(&["agent", "log"]).ok();
    let is_use = |line: &&str| line.contains("  sign ");
    eventually(|| log().lines().filter(is_use).count() == 2);
    let log = log();
    let lines: Vec<&str> = log.lines().filter(is_use).collect();
    let [here, imported] = lines[..] else {
        panic!("{log}");
    };
    assert!(
        here.contains("  sign \"here\" of token \"work\" SHA256:"),
        "{log}"
    );
    assert!(
        imported.contains("  sign \"me@old\" (imported) of token \"work\" SHA256:"),
        "{log}"
    );
    let json = program.run(&["agent", "log", "--json"]).ok();
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let origins: Vec<_> = json
        .as_array()
        .unwrap()
        .iter()
        .filter(|record| record["event"] == "sign")
        .map(|record| record["origin"].as_str().unwrap())
        .collect();
    assert_eq!(origins, ["born-here", "imported"]);
}

/// No agent is there, and no other command comes by.
#[test]
fn the_public_half_is_in_a_file_for_ssh_at_once() {
    let program = Program::with_token();
    let file = old_key(&program, "id", ["ecdsa", "256"], "");
    import(&program, &file, &[]).ok();
    let files: Vec<_> = fs::read_dir(program.home.path().join(".ssh/tpmssh"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|end| end == "pub"))
        .collect();
    let [written] = &files[..] else {
        panic!("{files:?}");
    };
    let exported = program.run(&["export", "me@old"]).ok();
    assert_eq!(fs::read_to_string(written).unwrap(), exported);
}

/// What a person reads who is asked for the PIN.
#[test]
fn the_agents_question_says_it() {
    let program = Program::with_key();
    let file = old_key(&program, "id", ["ecdsa", "256"], "");
    import(&program, &file, &[]).ok();
    let asked = |key: &str| {
        let question = socket(&program.home).with_file_name("question");
        let script = format!(
            "#!/bin/sh\nprintf %s \"$1\" >'{}'\nexec cat '{}'\n",
            question.display(),
            program.pin
        );
        let env = [
            (
                "SSH_ASKPASS".into(),
                program.home.script("asks", &script).into(),
            ),
            ("SSH_ASKPASS_REQUIRE".into(), "force".into()),
        ];
        let agent = Served::with(&program.home, &[], &env);
        let public = program.secret("key.pub", &program.run(&["export", key]).ok());
        agent.ssh_add(&["-T", &public]).ok();
        fs::read_to_string(question).unwrap()
    };
    let imported = asked("me@old");
    assert!(
        imported.contains("key \"me@old\" (imported) SHA256:"),
        "{imported}"
    );
    let here = asked("first");
    assert!(here.contains("key \"first\" SHA256:"), "{here}");
}

#[test]
fn an_authority_with_an_imported_key_says_so() {
    let program = with_both();
    program.run(&["ca", "init", "--key", "me@old"]).fails(
        2,
        "tpmssh: \"me@old\" is imported: anyone with a copy of it can sign certificates as well\n\
         tpmssh: this has to be confirmed, and there is no terminal to ask on\n\
         hint: add --yes if you mean it\n",
    );
    program
        .run(&["ca", "init", "--key", "me@old", "--yes"])
        .ok();
    let note = "tpmssh: the key of the authority \"me@old\" is imported: anyone with a copy of it can \
                sign as well\n";
    for args in [&["ca", "list"][..], &["ca", "public-key"]] {
        let outcome = program.run(args);
        assert!(outcome.stderr.starts_with(note), "{outcome:#?}");
        assert_eq!(outcome.code, Some(0));
    }
    program.run(&["ca", "init", "--key", "here"]).ok();
    let outcome = program.run(&["ca", "list", "--ca", "here"]);
    assert!(!outcome.stderr.contains("imported"), "{outcome:#?}");
}

/// Refused before a command is sent to the TPM: no verifier would accept a proof of such a key.
#[test]
fn an_imported_key_is_not_proven() {
    let program = with_both();
    let tap = Tap::start(&program.swtpm);
    let tcti = tap.tcti();
    program.run(&["--tcti", &tcti, "prove", "me@old"]).fails(
        8,
        "tpmssh: key \"me@old\" was made outside of this TPM: nothing can prove that there is no \
         copy\n\
         hint: make a key that can be proven with: tpmssh keygen\n",
    );
    assert_eq!(tap.count(), 0);
}

/// What OpenSC prints of CKA_ALWAYS_SENSITIVE, CKA_NEVER_EXTRACTABLE and CKA_LOCAL.
#[test]
fn pkcs11_programs_see_that_it_was_not_always_inside() {
    let program = with_both();
    let mut tool = program.home.command("pkcs11-tool");
    let args = ["--list-objects", "--token-label", "work", "--module"];
    let listed = Outcome::of(tool.args(args).arg(module_path())).ok();
    let access = |label: &str| {
        let label = format!("  label:      {label}\n");
        let mut found: Vec<&str> = listed
            .split("Object;")
            .filter(|object| object.contains(&label))
            .map(|object| {
                object
                    .split("Access:")
                    .nth(1)
                    .unwrap()
                    .lines()
                    .next()
                    .unwrap()
                    .trim()
            })
            .collect();
        found.sort_unstable();
        found
    };
    let sensitive = "sensitive, always sensitive, never extractable, local";
    assert_eq!(access("here"), ["local", sensitive], "{listed}");
    assert_eq!(access("me@old"), ["none", "sensitive"], "{listed}");
}

/// All that a person sees who imports a key at a terminal.
#[test]
fn a_person_is_warned_asked_and_told_what_the_file_still_is() {
    let program = Program::with_token();
    let file = old_key(&program, "id_ecdsa", ["ecdsa", "256"], PASSPHRASE);
    let before = fs::read(&file).unwrap();
    let question = "Import it anyway? [y/N] ";
    let mut no = Session::start(&program, &["import", &file]);
    no.expect("ecdsa-p256 SHA256:");
    no.expect(" \"me@old\"\r\n");
    no.expect("This key was outside of the TPM.");
    no.expect(&format!("tpmssh copy-id --replace {file}.pub HOST\r\n"));
    no.expect(question);
    no.type_in("n\n");
    let (status, rest) = no.end();
    assert_eq!(status.code(), Some(1));
    assert!(
        rest.ends_with("tpmssh: not confirmed, nothing was changed\r\n"),
        "{rest}"
    );

    let mut yes = Session::start(&program, &["import", &file]);
    yes.expect(question);
    yes.type_in("y\n");
    for (what, typed) in [
        ("Passphrase of id_ecdsa: ", "wrong"),
        ("Passphrase of id_ecdsa: ", PASSPHRASE),
        ("PIN for token \"work\": ", PIN),
    ] {
        yes.expect(what);
        assert!(!yes.echoes(), "{what}");
        yes.type_in(&format!("{typed}\n"));
    }
    yes.expect("label        me@old\r\n");
    yes.expect("origin       imported, cannot leave; there may be copies\r\n");
    let (status, rest) = yes.end();
    assert!(status.success(), "{rest}");
    let last = format!(
        "The file is still the key: keep it offline as a backup, or delete it with: rm {file}\r\n"
    );
    assert!(rest.ends_with(&last), "{rest}");
    // Three times a wrong passphrase.
    let other = old_key(&program, "other", ["ecdsa", "256"], PASSPHRASE);
    let mut wrong = Session::start(&program, &["import", "--yes", &other]);
    for _ in 0..3 {
        wrong.expect("Passphrase of other: ");
        wrong.type_in("wrong\n");
    }
    let (status, rest) = wrong.end();
    assert_eq!(status.code(), Some(1));
    assert_eq!(rest, format!("\r\ntpmssh: {other}: wrong passphrase\r\n"));
    assert_eq!(fs::read(&file).unwrap(), before, "the file is as it was");
}

#[test]
fn a_key_comes_in_on_standard_input_and_from_askpass() {
    let program = Program::with_token();
    let file = old_key(&program, "id", ["rsa", "2048"], PASSPHRASE);
    let passphrase = program.secret("passphrase", PASSPHRASE);
    let mut command = program.command();
    command
        .args([
            "import",
            "--yes",
            "-",
            "--label",
            "piped",
            "--pin-file",
            &program.pin,
        ])
        .envs(program.home.askpass(passphrase.as_ref()));
    let outcome = Outcome::with_input(&mut command, &fs::read(&file).unwrap());
    assert_eq!(outcome.code, Some(0), "{outcome:#?}");
    assert!(
        outcome.stderr.contains("copy-id --replace OLD.pub HOST\n"),
        "{outcome:#?}"
    );
    assert!(
        !outcome.stderr.contains("rm "),
        "there is no file to remove"
    );
    // The id that was asked for, and a use that asks each time.
    let other = old_key(&program, "other", ["ecdsa", "384"], "");
    import(&program, &other, &["--id", "01ff", "--always-authenticate"]).ok();
    let listed = program.run(&["list", "--long"]).ok();
    assert!(
        listed.contains("rsa2048 key \"piped\" (imported)\n    id           "),
        "{listed}"
    );
    assert!(
        listed.contains("ecdsa-p384 key \"me@old\" (imported)\n    id           01ff\n"),
        "{listed}"
    );
}
