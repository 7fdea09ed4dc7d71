//! The JSON output of the commands of a proof. A file that goes to standard output is printed alone.

use std::fs;

use serde_json::Value;

use super::{Files, manufactured};
use crate::program::Outcome;

#[track_caller]
fn json(outcome: Outcome) -> Value {
    assert_eq!(outcome.stderr, "");
    serde_json::from_str(&outcome.ok()).unwrap()
}

#[test]
fn each_step_says_what_it_wrote() {
    let program = manufactured();
    let files = Files::of(&program);
    let ask = ["prove", "first", "--ek-type", "rsa2048"];
    let to_file = ["-o", &files.request, "--json"];
    let asked = json(program.run(&[&ask[..], &to_file].concat()));
    let export: Value = serde_json::from_str(&program.run(&["export", "--json"]).ok()).unwrap();
    let key = &export[0]["fingerprint"];
    assert_eq!(export[0]["origin"], "born-here");
    assert_eq!(asked["request"], files.request);
    assert_eq!(&asked["fingerprint"], key);
    assert_eq!(asked["certificate"], true);
    let shown: Value = serde_json::from_str(&program.run(&["ek", "show", "--json"]).ok()).unwrap();
    let mut keys = shown["keys"].as_array().unwrap().iter();
    let rsa = keys.find(|key| key["type"] == "rsa2048").unwrap();
    assert_eq!(asked["ek_name"], rsa["name"]);

    let args = ["ca", "challenge", &files.request, "-o", &files.challenge];
    let made = json(program.run(&[&args[..], &["--json"]].concat()));
    assert_eq!(made["challenge"], files.challenge);
    assert_eq!(&made["fingerprint"], key);
    assert_eq!(made["ek_name"], rsa["name"]);
    let file: Value = serde_json::from_slice(&fs::read(&files.challenge).unwrap()).unwrap();
    assert_eq!(made["expires"], file["expires"]);

    let answer = ["prove", "--request", &files.request];
    let rest = ["--challenge", &files.challenge, "--pin-file", &program.pin];
    let to_file = ["-o", &files.proof, "--json"];
    let answered = json(program.run(&[&answer[..], &rest, &to_file].concat()));
    assert_eq!(answered["proof"], files.proof);
    assert_eq!(answered["by"], "pin");
    assert_eq!(&answered["fingerprint"], key);

    let verify = ["verify-proof", &files.proof, "--ek-roots", &files.roots];
    let proven = json(program.run(&[&verify[..], &["--json"]].concat()));
    for (field, value) in [
        ("origin", "born-here"),
        ("wall", "counter"),
        ("mode", "C"),
        ("kind", "none"),
    ] {
        assert_eq!(proven[field], value, "{field}");
    }
    assert_eq!(&proven["fingerprint"], key);
    assert!(
        proven["maker"]["issuer"]
            .as_str()
            .unwrap()
            .contains("swtpm")
    );

    // The files themselves, on standard output.
    let request = program.run(&[&ask[..], &["--json"]].concat());
    assert!(request.stderr.contains("not yet a proof"), "{request:?}");
    let request: Value = serde_json::from_str(&request.ok()).unwrap();
    assert_eq!(request["format"], "tpmssh-request-v1");
    let challenge = program.run_with_input(
        &["ca", "challenge", "-", "--json"],
        request.to_string().as_bytes(),
    );
    let challenge: Value = serde_json::from_str(&challenge.ok()).unwrap();
    assert_eq!(challenge["format"], "tpmssh-challenge-v1");
    // A refusal is JSON as well.
    let args = ["verify-proof", &files.request, "--any-tpm", "--json"];
    let refused = program.run(&args);
    assert_eq!(refused.code, Some(8));
    let said: Value = serde_json::from_str(&refused.stderr).unwrap();
    let why = "proof refused: this is a request, which proves nothing yet";
    assert_eq!(said["error"], why, "{said}");
}
