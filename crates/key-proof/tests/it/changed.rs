//! Files: what is written is read back, and no change of a byte passes.

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
