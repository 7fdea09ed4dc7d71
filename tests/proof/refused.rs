//! Requests for which no challenge is made, and secrets that are never shown.

use std::fs;
use std::path::Path;

use base64ct::{Base64, Encoding};
use serde_json::{Value, json};

use super::{Files, manufactured};

/// A request with some bytes of one public area changed.
fn changed(request: &Value, field: &str, change: impl Fn(&mut Vec<u8>)) -> Value {
    let mut request = request.clone();
    let mut bytes = Base64::decode_vec(request[field].as_str().unwrap()).unwrap();
    change(&mut bytes);
    request[field] = json!(Base64::encode_string(&bytes));
    request
}

/// Sets the attributes in a `TPMT_PUBLIC`, which follow type and name algorithm.
fn set_attributes(attributes: u32) -> impl Fn(&mut Vec<u8>) {
    move |public| public[4..8].copy_from_slice(&attributes.to_be_bytes())
}

#[test]
fn what_cannot_be_proven_gets_no_challenge() {
    let program = manufactured();
    let files = Files::of(&program);
    files.ask(&program, &["--ek-type", "rsa2048"]);
    let request: Value = serde_json::from_slice(&fs::read(&files.request).unwrap()).unwrap();
    let with = |field: &str, value: Value| {
        let mut request = request.clone();
        request[field] = value;
        request
    };
    for (request, why) in [
        // FIXEDPARENT taken away: the key may be in any TPM.
        (
            changed(&request, "ek", set_attributes(0x0003_00a2)),
            "the endorsement key is of no template of the TCG's",
        ),
        (
            changed(&request, "ak", set_attributes(0x0004_0472)),
            "the attestation key signs anything, and not only what the TPM says",
        ),
        (
            changed(&request, "ak", set_attributes(0x0005_0452)),
            "the attributes of the attestation key are not those of one",
        ),
        (
            with("ak", request["key"].clone()),
            "the attestation key signs anything, and not only what the TPM says",
        ),
        (
            changed(&request, "key", set_attributes(0x0004_0440)),
            "the key was made outside of the TPM, and there may be a copy",
        ),
        (
            changed(&request, "key", set_attributes(0x0004_0460)),
            "the key can leave its TPM",
        ),
        (
            changed(&request, "parent", set_attributes(0x0003_0432)),
            "the attributes of the key's parent are not those of a token key",
        ),
        (
            with("wall", json!({ "kind": "none" })),
            "the PIN wall is not the one that is claimed",
        ),
        (
            changed(&request, "srk", set_attributes(0x0004_0472)),
            "what is at the root of the TPM is no storage key of its own",
        ),
        (
            with("audience", json!("somebody")),
            "it is for another audience",
        ),
        (with("kind", json!("user")), "it names no principals"),
    ] {
        fs::write(&files.request, request.to_string()).unwrap();
        let args = ["ca", "challenge", &files.request, "-o", &files.challenge];
        let says = format!("tpmssh: no challenge is made: proof refused: {why}\n");
        program.run(&args).fails(8, &says);
        assert!(!Path::new(&files.challenge).exists(), "{why}");
    }
}

/// With the verifier's key anybody could open tickets, and answer challenges with the secrets in them without a TPM.
#[test]
fn no_secret_of_a_verifier_is_shown_or_written_elsewhere() {
    let program = manufactured();
    let files = Files::of(&program);
    let token = "SECRETJOINTOKEN";
    let join = program.secret("join", token);
    files.ask(&program, &["--join-token", &join]);
    let said = |args: &[&str]| {
        let output = program.command().args(args).output().unwrap();
        [output.stdout, output.stderr].concat()
    };
    let request = [&files.request[..], "-o", &files.challenge];
    let mut shown = said(&[&["ca", "challenge"], &request[..]].concat());
    files.answer(&program).ok();
    for more in [&["--any-tpm"][..], &["--any-tpm", "--json"], &[]] {
        shown.extend(said(&[&["verify-proof", &files.proof], more].concat()));
    }
    let key = fs::read(program.home.store().join("verifier.key")).unwrap();
    for file in [&files.challenge, &files.proof] {
        shown.extend(fs::read(file).unwrap());
    }
    let hex = base16ct::lower::encode_string(&key);
    for secret in [
        &key[..],
        hex.as_bytes(),
        Base64::encode_string(&key).as_bytes(),
    ] {
        let is_shown = shown.windows(secret.len()).any(|it| it == secret);
        assert!(!is_shown, "{}", String::from_utf8_lossy(secret));
    }
    // The join token is in the request, and so in the proof. It is not printed.
    let output = said(&["verify-proof", &files.proof, "--any-tpm"]);
    assert!(!String::from_utf8(output).unwrap().contains(token));
}
