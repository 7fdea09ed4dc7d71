//! Certificates that are renewed, and revocations that are withdrawn.

use serde_json::Value;

use super::authority::{key_file, sign, with_authority};
use crate::program::{Outcome, Program, text};

/// The lines of `ssh-keygen -L` that name neither serial number nor time.
fn terms(program: &Program, file: &str) -> Vec<String> {
    let shown = Outcome::of(program.home.command("ssh-keygen").args(["-L", "-f", file])).ok();
    let differ = |line: &&str| {
        let line = line.trim();
        !["Serial:", "Valid:"].iter().any(|it| line.starts_with(it))
            && !line.ends_with("-cert.pub:")
    };
    shown.lines().filter(differ).map(str::to_owned).collect()
}

fn listed(program: &Program) -> Value {
    serde_json::from_str(&program.run(&["ca", "list", "--json"]).ok()).unwrap()
}

fn renew(program: &Program, args: &[&str]) -> Outcome {
    program.run(&[&["ca", "renew", "--pin-file", &program.pin], args].concat())
}

#[test]
fn a_renewed_certificate_has_the_same_terms_and_another_time() {
    let program = with_authority();
    let key = key_file(&program, "anna");
    let old = sign(
        &program,
        "sign-user",
        &key,
        &[
            "-n",
            "anna,root",
            "-V",
            "-5m:+1h",
            "-O",
            "source-address=10.0.0.0/8",
            "-O",
            "no-pty",
        ],
    );
    let first = listed(&program)[0].clone();
    let serial = first["serial"].as_str().unwrap();
    let renewed = renew(&program, &[&old]);
    assert!(
        renewed.stderr.starts_with(&format!(
            "tpmssh: in the place of \"anna\", serial number {serial}, valid until "
        )),
        "{renewed:?}"
    );
    let new = program.secret("new-cert.pub", &renewed.ok());
    assert_eq!(terms(&program, &new), terms(&program, &old));
    let entry = listed(&program)[1].clone();
    assert_ne!(entry["serial"], first["serial"]);
    let length =
        |it: &Value| it["valid_before"].as_u64().unwrap() - it["valid_after"].as_u64().unwrap();
    assert_eq!(length(&entry), 65 * 60);
    assert!(entry["valid_after"].as_u64() > first["valid_after"].as_u64());

    // Chosen by its serial number, and with another validity.
    let by_number = renew(&program, &["--serial", serial, "-V", "+52w"]).ok();
    let by_number = program.secret("number-cert.pub", &by_number);
    assert_eq!(terms(&program, &by_number), terms(&program, &old));
    assert_eq!(length(&listed(&program)[2]), 52 * 7 * 86_400 + 60);

    // A certificate without a beginning has no length that the new one could have.
    let always = sign(
        &program,
        "sign-user",
        &key,
        &["-n", "a", "-V", "always:+1h"],
    );
    renew(&program, &[&always]).fails(
        2,
        "tpmssh: the certificate has no beginning: say with -V how long the new one is valid\n",
    );
    renew(&program, &[&always, "-V", "+1h"]).ok();
}

#[test]
fn only_what_this_authority_signed_and_did_not_revoke_is_renewed() {
    let program = with_authority();
    let key = key_file(&program, "anna");
    let certificate = sign(&program, "sign-user", &key, &["-n", "anna", "-V", "+1h"]);
    let unknown = "tpmssh: this authority did not sign this certificate\n\
                   hint: tpmssh ca list shows what was signed\n";
    renew(&program, &["--serial", "7"]).fails(12, unknown);
    // The same name and key, by another authority.
    let other = key_file(&program, "other");
    let theirs = program
        .home
        .command("ssh-keygen")
        .args(["-s", &other, "-I", "anna", "-n", "root"])
        .arg(format!("{key}.pub"))
        .output();
    assert!(theirs.unwrap().status.success());
    renew(&program, &[&certificate]).fails(12, unknown);

    let serial = listed(&program)[0]["serial"].as_str().unwrap().to_owned();
    program.run(&["ca", "revoke", "--key-id", "anna"]).ok();
    renew(&program, &["--serial", &serial]).fails(
        8,
        &format!(
            "tpmssh: the certificate with serial number {serial} is revoked\n\
             hint: tpmssh ca unrevoke accepts it again; name it as it was revoked, by --serial, \
             --key-id or --key\n"
        ),
    );
    program
        .run(&["ca", "unrevoke", "--key-id", "anna", "-y"])
        .ok();
    renew(&program, &["--serial", &serial]).ok();
    let none = program.run(&["ca", "renew"]);
    assert_eq!(none.code, Some(2), "{none:?}");
}

#[test]
fn an_authority_that_asks_for_proofs_renews_nothing() {
    let program = with_authority();
    let key = key_file(&program, "anna");
    let certificate = sign(&program, "sign-user", &key, &["-n", "anna", "-V", "+1h"]);
    program
        .run(&["ca", "init", "--key", "ca", "--proof-required"])
        .ok();
    let refused = renew(&program, &[&certificate]);
    assert_eq!(refused.code, Some(8), "{refused:?}");
    assert!(
        refused.stderr.starts_with(
            "tpmssh: authority \"ca\" certifies only keys with a proof that a TPM holds them\n"
        ),
        "{refused:?}"
    );
}

#[test]
fn a_revocation_is_withdrawn_and_stays_on_record() {
    let program = with_authority();
    let list = text(program.home.path().join("revoked"));
    let key = key_file(&program, "anna");
    let certificate = sign(&program, "sign-user", &key, &["-n", "anna", "-V", "+1h"]);
    let serial = listed(&program)[0]["serial"].as_str().unwrap().to_owned();
    let is_refused = || {
        let query = program
            .home
            .command("ssh-keygen")
            .args(["-Q", "-f", &list, &certificate])
            .output();
        !query.unwrap().status.success()
    };
    let number = || {
        let read = program.run(&["ca", "read-krl", "--json", &list]).ok();
        serde_json::from_str::<Value>(&read).unwrap()["number"].as_u64()
    };
    program.run(&["ca", "revoke", "--serial", &serial]).ok();
    program.run(&["ca", "revoke", "--key-id", "anna"]).ok();
    program.run(&["ca", "krl", &list]).ok();
    assert!(is_refused());
    let before = number();

    let unrevoke = |args: &[&str]| program.run(&[&["ca", "unrevoke"], args].concat());
    unrevoke(&["--serial", &serial]).fails(
        2,
        "tpmssh: this has to be confirmed, and there is no terminal to ask on\n\
         hint: add --yes if you mean it\n",
    );
    let still = unrevoke(&["--serial", &serial, "-y"]);
    assert!(
        still.stderr.starts_with(
            "tpmssh: still revoked by its serial number, key id or key: \"anna\", serial number "
        ),
        "{still:?}"
    );
    still.ok();
    unrevoke(&["--serial", &serial, "-y"]).fails(
        12,
        "tpmssh: this authority has not revoked that\n\
         hint: name it as it was revoked: a serial number, a key id or a key; tpmssh ca list shows \
         what is revoked\n",
    );
    let done: Value =
        serde_json::from_str(&unrevoke(&["--key-id", "anna", "-y", "--json"]).ok()).unwrap();
    assert_eq!(done["accepted"][0]["serial"], serial.as_str());
    assert_eq!(done["still_revoked"], serde_json::json!([]));

    // The shorter list takes the place of the longer one without --force, and has a higher number.
    program.run(&["ca", "krl", &list]).ok();
    assert!(!is_refused());
    assert!(number() > before, "{:?} after {before:?}", number());
    let entry = listed(&program)[0].clone();
    assert_eq!(entry["revoked"], false);
    assert_eq!(entry["withdrawn"].as_array().unwrap().len(), 2);
    let long = program.run(&["ca", "list", "--long"]).ok();
    assert_eq!(
        long.matches("\n  revocation withdrawn  ").count(),
        2,
        "{long}"
    );

    // It may be revoked again.
    program.run(&["ca", "revoke", "--serial", &serial]).ok();
    program.run(&["ca", "krl", &list]).ok();
    assert!(is_refused());
}
