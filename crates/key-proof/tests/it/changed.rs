//! Files: they are read back as they were written, and no changed byte passes.

use key_proof::{Challenge, Error, Proof, Request};
use proptest::prelude::*;

use crate::software_tpm::{SoftwareTpm, any_tpm, check};

#[test]
fn what_is_written_is_read_back() {
    let tpm = SoftwareTpm::new();
    let (challenge, proof) = (tpm.challenge(), tpm.proof());
    let request = tpm.request();
    assert_eq!(
        Request::from_json(request.to_json().as_bytes()),
        Ok(request)
    );
    assert_eq!(
        Challenge::from_json(challenge.to_json().as_bytes()),
        Ok(challenge)
    );
    assert_eq!(Proof::from_json(proof.to_json().as_bytes()), Ok(proof));
}

/// Each byte of each structure in turn, three changes of each.
#[test]
fn no_change_of_a_byte_passes() {
    let tpm = SoftwareTpm::new();
    let good = tpm.proof();
    check(&good, &any_tpm()).unwrap();
    type Field = fn(&mut Proof) -> &mut Vec<u8>;
    let fields: [(&str, Field); 9] = [
        ("ek", |it| &mut it.request.ek),
        ("attestation key", |it| &mut it.request.attestation_key),
        ("srk", |it| &mut it.request.srk),
        ("parent", |it| &mut it.request.parent),
        ("key", |it| &mut it.request.key),
        ("ticket", |it| &mut it.ticket),
        ("activation", |it| &mut it.activation),
        ("attest", |it| &mut it.attest),
        ("signature", |it| &mut it.signature),
    ];
    for (name, field) in fields {
        for at in 0..field(&mut good.clone()).len() {
            for change in [0x01, 0x80, 0xff] {
                let mut proof = good.clone();
                field(&mut proof)[at] ^= change;
                let result = check(&proof, &any_tpm());
                assert!(result.is_err(), "{name}, byte {at} ^ {change:#x}");
            }
        }
        let mut proof = good.clone();
        field(&mut proof).push(0);
        assert!(check(&proof, &any_tpm()).is_err(), "{name}, longer");
    }
    let mut proof = good.clone();
    proof.request.client_random[0] ^= 1;
    assert!(check(&proof, &any_tpm()).is_err());
}

#[test]
fn fields_that_are_unknown_missing_or_there_twice_are_refused() {
    let text = SoftwareTpm::new().proof().to_json();
    let refused = |text: &str| match Proof::from_json(text.as_bytes()) {
        Err(Error::Malformed { why, .. }) => why,
        other => panic!("{other:?}"),
    };
    let twice = text.replacen("\"ticket\":", "\"ticket\": \"\", \"ticket\":", 1);
    assert!(refused(&twice).starts_with("duplicate field `ticket`"));
    let unknown = text.replacen("\"ticket\":", "\"tocket\":", 1);
    assert!(refused(&unknown).starts_with("unknown field `tocket`"));
    let nested = text.replacen("\"srk\":", "\"srk2\": \"\", \"srk\":", 1);
    assert!(refused(&nested).starts_with("unknown field `srk2`"));
    let kind = text.replacen("\"user\"", "\"root\"", 1);
    assert!(refused(&kind).starts_with("unknown variant `root`"));
    let wall = text.replacen("\"guard_name\":", "\"guard\":", 1);
    assert!(refused(&wall).contains("guard"));
}

#[test]
fn files_that_are_too_long_or_too_deep_are_refused() {
    let good = SoftwareTpm::new().request().to_json();
    let refused = |text: &str| match Request::from_json(text.as_bytes()) {
        Err(Error::Malformed { what, why }) => (what, why),
        other => panic!("{other:?}"),
    };
    // Exactly 64 KiB pass. The file is filled up with spaces, which have no meaning.
    let padded = |len: usize| format!("{good}{}", " ".repeat(len - good.len()));
    Request::from_json(padded(64 * 1024).as_bytes()).unwrap();
    let long = ("request", "it is longer than 64 KiB".to_owned());
    assert_eq!(refused(&padded(64 * 1024 + 1)), long);
    let no_file = ("request", "it is not a file of tpmssh's".to_owned());
    for text in ["", "{}", "null", "[", &"[".repeat(60_000), "{\"format\":1}"] {
        assert_eq!(refused(text), no_file, "{text:.20}");
    }
    let deep = format!(
        "{{\"format\":\"tpmssh-request-v1\",\"ek\":{}",
        "{\"ek\":".repeat(9_000)
    );
    assert_eq!(refused(&deep), no_file);
    let cut = &good[..good.len() / 2];
    assert_eq!(refused(cut), no_file);
    let number = good.replacen("\"client_random\": \"", "\"client_random\": \"AAAA", 1);
    assert!(refused(&number).1.starts_with("a field has not 32 bytes"));
    let base64 = good.replacen("\"ak\": \"", "\"ak\": \"-", 1);
    assert!(refused(&base64).1.starts_with("a field is not base64"));
}

#[test]
fn a_file_of_another_kind_is_called_what_it_is() {
    let tpm = SoftwareTpm::new();
    let (request, challenge) = (tpm.request().to_json(), tpm.challenge().to_json());
    let says = |err: Error| err.to_string();
    assert_eq!(
        says(Request::from_json(challenge.as_bytes()).unwrap_err()),
        "this is a tpmssh-challenge-v1 file, and a tpmssh-request-v1 file is needed"
    );
    assert_eq!(
        says(Challenge::from_json(request.as_bytes()).unwrap_err()),
        "this is a tpmssh-request-v1 file, and a tpmssh-challenge-v1 file is needed"
    );
    assert_eq!(
        says(Proof::from_json(request.as_bytes()).unwrap_err()),
        "proof refused: this is a request, which proves nothing yet"
    );
    // No check of the proof has run.
    let no_proof = Proof::from_json(request.as_bytes()).unwrap_err();
    assert_eq!(no_proof.check(), None);
    // A proof whose request has another format.
    let proof = tpm.proof().to_json();
    let odd = proof.replacen("tpmssh-request-v1", "tpmssh-proof-v1", 1);
    assert_eq!(
        says(Proof::from_json(odd.as_bytes()).unwrap_err()),
        "malformed request: its format is another one"
    );
}

proptest! {
    #[test]
    fn any_text_is_a_file_or_refused(text in ".{0,200}") {
        for head in ["", "{\"format\":\"tpmssh-proof-v1\",", "{\"format\":\"tpmssh-request-v1\","] {
            let text = format!("{head}{text}");
            let _ = Proof::from_json(text.as_bytes());
            let _ = Request::from_json(text.as_bytes());
            let _ = Challenge::from_json(text.as_bytes());
        }
    }
}
