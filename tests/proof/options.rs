//! The options of a verifier: for each, a proof that is refused and one that passes.

use std::fs;
use std::thread::sleep;
use std::time::Duration;

use serde_json::Value;

use super::{Files, maker::Maker, manufactured};
use crate::program::{Outcome, Program, text};

fn verify(program: &Program, files: &Files, more: &[&str]) -> Outcome {
    program.run(&[&["verify-proof", &files.proof], more].concat())
}

fn report(outcome: Outcome) -> Value {
    serde_json::from_str(&outcome.ok()).unwrap()
}

#[test]
fn a_proof_for_one_audience_is_for_no_other() {
    let program = manufactured();
    let files = Files::of(&program);
    files.ask(&program, &["--audience", "ca.example.org"]);
    let other = "proof refused: it is for another audience\n";
    let challenge = ["ca", "challenge", &files.request, "-o", &files.challenge];
    program
        .run(&challenge)
        .fails(8, &format!("tpmssh: no challenge is made: {other}"));
    let word = ["--audience", "ca.example.org"];
    program.run(&[&challenge[..], &word].concat()).ok();
    files.answer(&program).ok();
    verify(&program, &files, &["--any-tpm"]).fails(8, &format!("tpmssh: {other}"));
    let wrong = ["--any-tpm", "--audience", "ca.example.com"];
    verify(&program, &files, &wrong).fails(8, &format!("tpmssh: {other}"));
    verify(&program, &files, &[&["--any-tpm"], &word[..]].concat()).ok();
}

#[test]
fn a_proof_is_as_old_as_its_challenge() {
    let program = manufactured();
    let files = Files::made_by(&program);
    sleep(Duration::from_secs(2));
    verify(&program, &files, &["--any-tpm", "--max-age", "1s"]).fails(
        8,
        "tpmssh: proof refused: it is older than asked for\n\
         hint: make a new challenge with: tpmssh ca challenge REQUEST -o challenge.json\n",
    );
    verify(&program, &files, &["--any-tpm", "--max-age", "1h"]).ok();
}

#[test]
fn a_challenge_is_answered_and_its_answer_taken_until_it_expires() {
    let program = manufactured();
    let files = Files::made_by(&program);
    let hint = "hint: make a new challenge with: tpmssh ca challenge REQUEST -o challenge.json\n";
    let args = ["ca", "challenge", &files.request, "-o", &files.challenge];
    program
        .run(&[&args[..], &["--expires-in", "1s"]].concat())
        .ok();
    sleep(Duration::from_secs(3));
    let late = files.answer(&program);
    assert_eq!(late.code, Some(8), "{late:?}");
    let start = "tpmssh: the challenge expired at 20";
    assert!(
        late.stderr.starts_with(start) && late.stderr.ends_with(hint),
        "{late:?}"
    );
    for (span, why) in [
        ("0s", "it could never be answered"),
        ("8d", "a challenge is valid for 7 days at most"),
        ("soon", "a time is seconds or parts with s, m, h, d, w"),
    ] {
        let refused = program.run(&[&args[..], &["--expires-in", span]].concat());
        assert_eq!(refused.code, Some(2));
        assert!(refused.stderr.contains(why), "{}", refused.stderr);
    }
}

#[test]
fn a_wall_that_is_too_weak_is_refused() {
    let weaker =
        "tpmssh: proof refused: the key's PIN wall is weaker than the one that is asked for\n";
    for (wall, passes, refused) in [
        ("none", &["none"][..], &["lockout", "counter"][..]),
        ("lockout", &["none", "lockout"], &["counter"]),
        ("counter", &["none", "lockout", "counter"], &[]),
    ] {
        let program = Program::new();
        let pins = ["--pin-file", &program.pin, "--so-pin-file", &program.so_pin];
        let args = ["token", "init", "--label", "work", "--pin-wall", wall];
        let pins = if wall == "none" { &[][..] } else { &pins };
        program.run(&[&args[..], pins].concat()).ok();
        let pin = &pins[..pins.len() / 2];
        program
            .run(&[&["keygen", "--label", "first"], pin].concat())
            .ok();
        let files = Files::of(&program);
        files.ask(&program, &[]);
        files.challenge(&program);
        let request = ["prove", "--request", &files.request];
        let rest = ["--challenge", &files.challenge, "-o", &files.proof];
        program.run(&[&request[..], &rest, pin].concat()).ok();
        for least in passes {
            let args = ["--any-tpm", "--require-wall", least, "--json"];
            assert_eq!(report(verify(&program, &files, &args))["wall"], wall);
        }
        for least in refused {
            let args = ["--any-tpm", "--require-wall", least];
            verify(&program, &files, &args).fails(8, weaker);
        }
    }
}

#[test]
fn a_tpm_is_named_by_the_whole_name_of_its_endorsement_key() {
    let program = manufactured();
    let files = Files::made_by(&program);
    let roots = ["--ek-roots", &files.roots, "--json"];
    let proven = report(verify(&program, &files, &roots));
    assert_eq!(proven["mode"], "C");
    let name = proven["ek_name"].as_str().unwrap();
    let other = format!("000b{}", "ab".repeat(32));
    // One of several Names is enough. If makers' certificates are asked for as well, both have to match.
    let listed = ["--ek", &other, "--ek", name, "--json"];
    assert_eq!(report(verify(&program, &files, &listed))["mode"], "B");
    let both = [&roots[..], &["--ek", name]].concat();
    assert_eq!(report(verify(&program, &files, &both))["mode"], "A");
    let unexpected = "tpmssh: proof refused: this TPM is not one of those that are expected\n\
                      hint: name the TPM with --ek NAME (its owner sees it with: tpmssh ek show), \
                      or its maker's certificates with --ek-roots DIR\n";
    let args = ["--ek-roots", &files.roots, "--ek", &other];
    verify(&program, &files, &args).fails(8, unexpected);
    for cut in ["000b", &name[..name.len() - 2], &name[4..], "TPM"] {
        let refused = verify(&program, &files, &["--ek", cut]);
        assert_eq!(refused.code, Some(2), "{cut}");
        let why = "it takes the Name that tpmssh ek show prints";
        assert!(refused.stderr.contains(why), "{}", refused.stderr);
    }
    let none = text(program.home.path().join("nothing"));
    fs::create_dir(&none).unwrap();
    verify(&program, &files, &["--ek-roots", &none]).fails(
        2,
        &format!("tpmssh: no certificate of a TPM maker in {none}\n"),
    );
}

#[test]
fn a_file_with_no_join_token_is_refused() {
    let program = manufactured();
    for content in ["", "\n", "two words\n", "\u{1b}[0m"] {
        let token = program.secret("token", content);
        let says = format!("tpmssh: {token} is not a join token\n");
        program
            .run(&["prove", "first", "--join-token", &token])
            .fails(2, &says);
    }
    let files = Files::of(&program);
    let token = program.secret("token", "0123abcd\n");
    files.ask(&program, &["--join-token", &token]);
    let request = fs::read_to_string(&files.request).unwrap();
    assert!(request.contains("\"value\": \"0123abcd\""), "{request}");
}

/// The options about trust need `--proof`.
#[test]
fn without_a_proof_they_are_a_mistake() {
    let program = Program::with_key();
    let public = program.secret("first.pub", &program.run(&["export"]).ok());
    let sign = [
        "ca",
        "sign-user",
        &public,
        "-I",
        "me",
        "-n",
        "anna",
        "-V",
        "+8h",
    ];
    let name = format!("000b{}", "ab".repeat(32));
    for option in [
        &["--any-tpm"][..],
        &["--ek", &name],
        &["--ek-roots", "/nonexistent"],
        &["--require-wall", "counter"],
        &["--max-age", "1h"],
        &["--audience", "word"],
        &["--ignore-ek-expiry"],
    ] {
        let refused = program.run(&[&sign[..], option].concat());
        assert_eq!(refused.code, Some(2), "{option:?}");
        assert!(
            refused.stderr.contains("--proof <FILE>"),
            "{}",
            refused.stderr
        );
    }
}

#[test]
fn an_expired_makers_certificate_is_taken_on_demand_alone() {
    let program = manufactured();
    let maker = Maker::new(&program.home);
    for (days, expired) in [("0", true), ("1", false)] {
        let files = Files::of(&program);
        files.ask(&program, &[]);
        let roots = maker.certify(&files.request, days);
        files.challenge(&program);
        files.answer(&program).ok();
        if expired {
            // It was valid for this second only.
            std::thread::sleep(std::time::Duration::from_secs(2));
        }
        let roots = ["--ek-roots", &roots];
        match expired {
            true => verify(&program, &files, &roots).fails(
                8,
                "tpmssh: proof refused: a certificate has expired\n\
                 hint: a TPM outlives its maker's certificates; take expired ones as well with --ignore-ek-expiry\n",
            ),
            false => drop(verify(&program, &files, &roots).ok()),
        }
        let ignoring = [&roots[..], &["--ignore-ek-expiry", "--json"]].concat();
        assert_eq!(report(verify(&program, &files, &ignoring))["mode"], "C");
    }
}
