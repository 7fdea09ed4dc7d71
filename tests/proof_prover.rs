//! The owner's messages if a proof cannot be made, and the passwords that a proof needs.

use std::fs;

use base64ct::{Base64, Encoding};
use key_proof::Request;
use serde_json::Value;
use testing::Swtpm;

use crate::program::{Outcome, Program, run, text};

fn path(program: &Program, name: &str) -> String {
    text(program.home.path().join(name))
}

fn ask(program: &Program, more: &[&str]) -> Outcome {
    let request = path(program, "request.json");
    program.run(&[&["prove", "-o", &request], more].concat())
}

fn challenge(program: &Program) {
    let (request, challenge) = (
        path(program, "request.json"),
        path(program, "challenge.json"),
    );
    program
        .run(&["ca", "challenge", &request, "-o", &challenge])
        .ok();
}

fn answer(program: &Program, more: &[&str]) -> Outcome {
    let at = |name| path(program, name);
    let files = [
        "--request",
        &at("request.json"),
        "--challenge",
        &at("challenge.json"),
        "--pin-file",
        &program.pin,
        "-o",
        &at("proof.json"),
    ];
    program.run(&[&["prove"], &files[..], more].concat())
}

#[test]
fn a_key_that_was_made_elsewhere_proves_nothing() {
    let program = Program::with_token();
    let file = path(&program, "id");
    let args = ["-q", "-t", "ecdsa", "-N", "", "-C", "old", "-f", &file];
    run("ssh-keygen", &args);
    let pin = ["--pin-file", &program.pin];
    program
        .run(&[&["import", &file, "--yes"], &pin[..]].concat())
        .ok();
    ask(&program, &["old"]).fails(
        8,
        "tpmssh: key \"old\" was made outside of this TPM: nothing can prove that there is no copy\n\
         hint: make a key that can be proven with: tpmssh keygen\n",
    );
}

#[test]
fn a_request_of_another_key_and_an_old_challenge_are_not_answered() {
    let program = Program::with_key();
    program.keygen("second");
    ask(&program, &["first"]).ok();
    challenge(&program);
    answer(&program, &["second"]).fails(2, "tpmssh: the request is for another key\n");

    // A prover that has another store and another TPM has no such key either.
    let other = Program::new_with_key();
    for name in ["request.json", "challenge.json"] {
        fs::copy(path(&program, name), path(&other, name)).unwrap();
    }
    answer(&other, &[]).fails(2, "tpmssh: the request is for another key\n");

    let file = path(&program, "challenge.json");
    let mut old: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    old["expires"] = 1_795_000_000.into();
    fs::write(&file, old.to_string()).unwrap();
    answer(&program, &[]).fails(
        8,
        "tpmssh: the challenge expired at 2026-11-18 11:06:40 UTC\n\
         hint: make a new challenge with: tpmssh ca challenge REQUEST -o challenge.json\n",
    );
}

/// The request was changed, and has a challenge. The prover refuses it without asking its TPM.
#[test]
fn a_request_with_an_endorsement_key_of_no_template_is_not_answered() {
    let program = Program::with_key();
    ask(&program, &["first"]).ok();
    challenge(&program);
    let [request, challenge] = ["request.json", "challenge.json"].map(|it| path(&program, it));
    let read = |file| -> Value { serde_json::from_slice(&fs::read(file).unwrap()).unwrap() };
    let mut changed = read(&request);
    let mut ek = Base64::decode_vec(changed["ek"].as_str().unwrap()).unwrap();
    // Without the attribute `restricted`.
    ek[5] ^= 0x01;
    changed["ek"] = Base64::encode_string(&ek).into();
    let changed = changed.to_string();
    fs::write(&request, &changed).unwrap();
    let transcript = Request::from_json(changed.as_bytes()).unwrap().transcript();
    let mut answers = read(&challenge);
    answers["request"] = Base64::encode_string(&transcript).into();
    fs::write(&challenge, answers.to_string()).unwrap();
    answer(&program, &[]).fails(
        2,
        "tpmssh: the endorsement key of the request is of no kind that a TPM makes for tpmssh\n\
         hint: make a new request with: tpmssh prove KEY -o request.json\n",
    );
}

#[test]
fn a_place_without_makers_certificates_is_named() {
    let program = Program::with_key();
    ask(&program, &["--ek-type", "ecc-p384"]).ok();
    challenge(&program);
    answer(&program, &[]).ok();
    let empty = path(&program, "empty");
    fs::create_dir(&empty).unwrap();
    let says = format!("tpmssh: no certificate of a TPM maker in {empty}\n");
    let proof = path(&program, "proof.json");
    program
        .run(&["verify-proof", &proof, "--ek-roots", &empty])
        .fails(2, &says);
    program
        .run(&["ek", "roots", "import", &empty])
        .fails(2, &says);
}

#[test]
fn a_tpm_without_endorsement_keys_is_told_how_to_make_one() {
    let program = Program::new();
    for command in ["show", "export"] {
        program.run(&["ek", command]).fails(
            12,
            "tpmssh: this TPM has no persistent endorsement key\n\
             hint: make one with: tpmssh tpm create-ek\n",
        );
    }
}

/// To use the existing key on P-384 takes no password. To make an endorsement key, or to use one of the low
/// range, takes the endorsement password.
#[test]
fn the_endorsement_password_is_asked_for_only_if_it_is_needed() {
    let program = Program::with_tpm(Swtpm::manufactured());
    program.init("work");
    program.keygen("first");
    let password = program.secret("endorsement", "secret");
    let args = ["tpm", "change-auth", "endorsement", "--new-auth-file"];
    program.run(&[&args[..], &[&password]].concat()).ok();
    // There is no terminal and no askpass: asking would fail.
    ask(&program, &[]).ok();
    challenge(&program);
    answer(&program, &[]).ok();

    let low = ["--ek-type", "rsa2048"];
    ask(&program, &low).ok();
    challenge(&program);
    let asked = answer(&program, &[]);
    assert_eq!(asked.code, Some(1), "{asked:#?}");
    assert!(asked.stderr.contains("ndorsement password"), "{asked:#?}");
    let wrong = program.secret("wrong", "wrong");
    answer(&program, &["--endorsement-auth-file", &wrong]).fails(
        3,
        "tpmssh: wrong endorsement password\nhint: no try was spent: this password may be tried again\n",
    );
    answer(&program, &["--endorsement-auth-file", &password]).ok();

    let missing = ["--ek-type", "ecc-p256"];
    let asked = ask(&program, &missing);
    assert_eq!(asked.code, Some(1), "{asked:#?}");
    assert!(asked.stderr.contains("ndorsement password"), "{asked:#?}");
    let with = [&missing[..], &["--endorsement-auth-file", &password]].concat();
    ask(&program, &with).ok();
}
