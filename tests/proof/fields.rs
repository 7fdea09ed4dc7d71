//! Files of a proof with one field changed: cut, extended, emptied, of another type, or left out.

use std::fs;
use std::path::Path;

use base64ct::{Base64, Encoding};
use key_proof::Request;
use serde_json::{Value, json};

use super::{Files, manufactured};
use crate::program::{Outcome, Program, text};

/// A file with one field changed, and which field and change it is.
struct Changed {
    what: String,
    file: Value,
}

/// The file with each field changed in each way, also fields of objects in it.
fn all_changes(file: &Value) -> Vec<Changed> {
    let mut pointers = Vec::new();
    fields(file, "", &mut pointers);
    let mut all = Vec::new();
    for pointer in pointers {
        let value = file.pointer(&pointer).unwrap();
        for (name, new) in changes(value).into_iter().filter(|(_, new)| new != value) {
            let mut file = file.clone();
            *file.pointer_mut(&pointer).unwrap() = new;
            let what = format!("{pointer}: {name}");
            all.push(Changed { what, file });
        }
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        let mut file = file.clone();
        let object = file.pointer_mut(parent).unwrap();
        object.as_object_mut().unwrap().remove(name);
        let what = format!("{pointer}: left out");
        all.push(Changed { what, file });
    }
    all
}

fn fields(value: &Value, at: &str, pointers: &mut Vec<String>) {
    for (name, value) in value.as_object().into_iter().flatten() {
        let pointer = format!("{at}/{name}");
        fields(value, &pointer, pointers);
        pointers.push(pointer);
    }
}

fn changes(value: &Value) -> Vec<(&'static str, Value)> {
    let mut new = vec![
        ("null", Value::Null),
        ("a number", json!(7)),
        ("a text", json!("other")),
        ("a list", json!([1, 2])),
        ("an object", json!({ "a": 1 })),
        ("true", json!(true)),
        ("nothing", json!("")),
        ("an empty list", json!([])),
        ("a large number", json!(u64::MAX)),
        ("a negative number", json!(-1)),
        ("a fraction", json!(0.5)),
    ];
    let Some(text) = value.as_str() else {
        return new;
    };
    if let Ok(bytes) = Base64::decode_vec(text)
        && let [head @ .., last] = &bytes[..]
    {
        let mut binary = |name, bytes: &[u8]| new.push((name, json!(Base64::encode_string(bytes))));
        binary("cut by a byte", head);
        binary("cut by its first byte", &bytes[1..]);
        binary("cut by half", &bytes[..bytes.len() / 2]);
        binary("longer by a byte", &[&bytes[..], &[0]].concat());
        binary(
            "longer by 20,000 bytes",
            &[&bytes[..], &[0; 20_000]].concat(),
        );
        binary("its last bit", &[head, &[last ^ 1]].concat());
        binary("zeros", &vec![0; bytes.len()]);
        binary("ones", &vec![0xff; bytes.len()]);
    } else if let Some((at, _)) = text.char_indices().next_back() {
        new.push(("cut by a letter", json!(text[..at])));
        new.push(("longer by a letter", json!(format!("{text}x"))));
        new.push(("a control character", json!(format!("\u{1b}[2J{text}"))));
    }
    new
}

fn json_of(path: &str) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// Checks that the outcome has one of these exit codes, and a message without control characters.
fn assert_told(outcome: &Outcome, codes: &[i32], what: &str) {
    let code = outcome.code.unwrap_or(-1);
    assert!(codes.contains(&code), "{what}: {outcome:#?}");
    assert!(
        outcome.stderr.starts_with("tpmssh: "),
        "{what}: {outcome:#?}"
    );
    let is_control = |c: char| c.is_control() && c != '\n';
    assert!(!outcome.stderr.contains(is_control), "{what}: {outcome:#?}");
}

/// 2: the file is malformed. 6: it is for another TPM or request. 8: it is refused.
#[test]
fn a_challenge_with_any_field_changed_is_answered_or_refused_with_a_reason() {
    let program = manufactured();
    let mut files = Files::of(&program);
    for ek_type in ["rsa2048", "ecc-p384"] {
        files.ask(&program, &["--ek-type", ek_type]);
        files.challenge(&program);
        let challenge = json_of(&files.challenge);
        let changed_file = text(program.home.path().join("changed.json"));
        for Changed { what, file } in all_changes(&challenge) {
            fs::write(&changed_file, file.to_string()).unwrap();
            let _ = fs::remove_file(&files.proof);
            files.challenge.clone_from(&changed_file);
            let outcome = files.answer(&program);
            // The prover does not check these fields: only the verifier can.
            let is_blind = ["/nonce", "/ticket", "/expires"]
                .iter()
                .any(|field| what.starts_with(field));
            let codes: &[i32] = if is_blind { &[0, 2, 8] } else { &[2, 6] };
            assert_told(&outcome, codes, &format!("{ek_type} {what}"));
            let is_written = Path::new(&files.proof).exists();
            assert_eq!(is_written, outcome.code == Some(0), "{what}");
        }
        files = Files::of(&program);
    }
}

#[test]
fn a_request_with_any_field_changed_gets_a_challenge_or_a_reason() {
    let program = manufactured();
    let files = Files::of(&program);
    files.ask(&program, &["-n", "anna"]);
    files.challenge(&program);
    let mut challenge = json_of(&files.challenge);
    let changed = Files {
        request: text(program.home.path().join("changed.json")),
        challenge: text(program.home.path().join("for-changed.json")),
        ..Files::of(&program)
    };
    for Changed { what, file } in all_changes(&json_of(&files.request)) {
        let request = file.to_string();
        fs::write(&changed.request, &request).unwrap();
        let args = [
            "ca",
            "challenge",
            &changed.request,
            "-o",
            &changed.challenge,
        ];
        assert_told(&program.run(&args), &[0, 2, 8], &what);
        // Even if a verifier made a challenge for it: the prover checks its request itself.
        if let Ok(request) = Request::from_json(request.as_bytes()) {
            challenge["request"] = json!(Base64::encode_string(&request.transcript()));
        }
        fs::write(&changed.challenge, challenge.to_string()).unwrap();
        assert_told(&changed.answer(&program), &[0, 2, 6, 8], &what);
    }
}

#[test]
fn a_proof_with_any_field_changed_is_refused_with_a_reason() {
    let program = manufactured();
    let files = Files::made_by(&program);
    let changed = text(program.home.path().join("changed.json"));
    let verify = |program: &Program| program.run(&["verify-proof", &changed, "--any-tpm"]);
    for Changed { what, file } in all_changes(&json_of(&files.proof)) {
        fs::write(&changed, file.to_string()).unwrap();
        let outcome = verify(&program);
        // Text after the last line of the armour is ignored.
        let is_ending = ["/sshsig: cut by a letter", "/sshsig: longer by a letter"];
        if is_ending.contains(&&what[..]) {
            outcome.ok();
        } else {
            assert_told(&outcome, &[2, 8], &what);
        }
    }
}
