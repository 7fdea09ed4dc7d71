//! Checks V7 to V13: for each an attack on the answer to a challenge, and a similar answer that passes.

use key_proof::{Check, ENROLL_NAMESPACE, qualifying_data};
use ssh_format::SigHash;

use crate::software_tpm::{NOW, SoftwareTpm, any_tpm, check, refused};

#[test]
fn v7_a_ticket_is_good_for_one_request_one_verifier_and_some_time() {
    let tpm = SoftwareTpm::new();
    let proof = tpm.proof();
    // A ticket of another verifier.
    let stranger = key_proof::TicketKey::new([8; 32]);
    let result = key_proof::verify(&proof, &any_tpm(), std::slice::from_ref(&stranger));
    assert_eq!(refused(result).0, Check::V7);
    let both = [stranger, crate::software_tpm::ticket_key()];
    key_proof::verify(&proof, &any_tpm(), &both).unwrap();
    // A ticket of another request.
    let other = SoftwareTpm::new().proof();
    let mut mixed = proof.clone();
    mixed.ticket = other.ticket;
    assert_eq!(
        refused(check(&mixed, &any_tpm())),
        (Check::V7, "its challenge was made for another request")
    );
    // The challenge is valid for 120 s, and 30 s more because clocks differ.
    for (now, passes) in [
        (NOW - 31, false),
        (NOW - 30, true),
        (NOW + 150, true),
        (NOW + 151, false),
    ] {
        let mut policy = any_tpm();
        policy.now = now;
        let result = check(&proof, &policy);
        if passes {
            result.unwrap();
        } else {
            assert_eq!(refused(result).0, Check::V7, "{now}");
        }
    }
    let mut policy = any_tpm();
    policy.now = NOW + 61;
    policy.max_age = Some(60);
    assert_eq!(
        refused(check(&proof, &policy)),
        (Check::V7, "it is older than asked for")
    );
    policy.max_age = Some(61);
    check(&proof, &policy).unwrap();
    for len in 0..proof.ticket.len() {
        let mut cut = proof.clone();
        cut.ticket.truncate(len);
        assert_eq!(refused(check(&cut, &any_tpm())).0, Check::V7);
    }
}

/// The certificate and endorsement key of chip A, with a key in chip B.
#[test]
fn v8_the_endorsement_key_of_one_tpm_does_not_vouch_for_keys_of_another() {
    let (mut b, a) = (SoftwareTpm::new(), SoftwareTpm::new());
    let own = std::mem::replace(&mut b.ek, a.ek);
    let challenge = b.challenge();
    let claimed = std::mem::replace(&mut b.ek, own);
    let mut proof = b.answer(&challenge);
    b.ek = claimed;
    // The rest is answered for the request that the challenge is for.
    let right = b.request();
    proof.attest = b.attest(&challenge.nonce, &right.transcript());
    proof.signature = b.signature(&proof.attest);
    proof.sshsig = b.own_signature(ENROLL_NAMESPACE, SigHash::Sha512, &right.transcript());
    proof.request = right;
    assert_eq!(refused(check(&proof, &any_tpm())).0, Check::V8);
}

/// The TPM decrypts the secret only if it holds the attestation key that the challenge names.
#[test]
fn v8_another_attestation_key_of_the_same_tpm_does_not_answer() {
    let mut tpm = SoftwareTpm::new();
    let challenge = tpm.challenge();
    let right = tpm.proof();
    let named = std::mem::replace(&mut tpm.ak, SoftwareTpm::new().ak);
    let guessed = tpm.answer(&challenge).activation;
    tpm.ak = named;
    let mut proof = tpm.answer(&challenge);
    check(&proof, &any_tpm()).unwrap();
    proof.activation = guessed;
    assert_eq!(refused(check(&proof, &any_tpm())).0, Check::V8);
    proof.activation = right.activation;
    assert_eq!(
        refused(check(&proof, &any_tpm())).0,
        Check::V8,
        "of another challenge"
    );
    proof.activation = Vec::new();
    assert_eq!(refused(check(&proof, &any_tpm())).0, Check::V8);
}

#[test]
fn v9_what_is_no_attestation_of_a_key_or_not_signed_is_refused() {
    let tpm = SoftwareTpm::new();
    let good = tpm.proof();
    let with = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut proof = good.clone();
        change(&mut proof.attest);
        proof.signature = tpm.signature(&proof.attest);
        refused(check(&proof, &any_tpm()))
    };
    assert_eq!(with(&|attest| attest[0] = 0).0, Check::V9, "magic");
    // TPM2_GetTime, and others that a restricted key signs.
    for kind in [0x14, 0x15, 0x16, 0x18, 0x19, 0x1a, 0x1c] {
        assert_eq!(with(&|attest| attest[5] = kind).0, Check::V9, "{kind:#x}");
    }
    assert_eq!(with(&|attest| attest.push(0)).0, Check::V9, "longer");
    assert_eq!(
        with(&|attest| attest.truncate(attest.len() - 1)).0,
        Check::V9,
        "shorter"
    );
    let mut proof = good.clone();
    proof.signature = SoftwareTpm::new().signature(&proof.attest);
    assert_eq!(
        refused(check(&proof, &any_tpm())),
        (
            Check::V9,
            "the attestation is not signed by the attestation key"
        )
    );
    for change in [
        vec![],
        vec![0, 0x14, 0, 0x0b],
        good.signature[..70].to_vec(),
    ] {
        let mut proof = good.clone();
        proof.signature = change;
        assert_eq!(refused(check(&proof, &any_tpm())).0, Check::V9);
    }
}

#[test]
fn v10_the_attestation_for_another_challenge_is_refused() {
    let tpm = SoftwareTpm::new();
    let (challenge, other) = (tpm.challenge(), tpm.challenge());
    let mut proof = tpm.answer(&challenge);
    let transcript = proof.request.transcript();
    assert_ne!(
        qualifying_data(&challenge.nonce, &transcript),
        qualifying_data(&other.nonce, &transcript)
    );
    proof.attest = tpm.attest(&other.nonce, &transcript);
    proof.signature = tpm.signature(&proof.attest);
    assert_eq!(refused(check(&proof, &any_tpm())).0, Check::V10);
}

#[test]
fn v11_the_attestation_of_another_key_is_refused() {
    let mut tpm = SoftwareTpm::new();
    let challenge = tpm.challenge();
    let mut proof = tpm.answer(&challenge);
    tpm.key = SoftwareTpm::new().key;
    proof.attest = tpm.attest(&challenge.nonce, &proof.request.transcript());
    proof.signature = tpm.signature(&proof.attest);
    assert_eq!(
        refused(check(&proof, &any_tpm())),
        (Check::V11, "another key was certified")
    );
}

/// The key has no PIN, but the prover shows the parent of a key with a PIN instead of its parent.
#[test]
fn v12_a_key_without_a_pin_does_not_pass_for_one_with_a_pin() {
    let mut tpm = SoftwareTpm::new();
    let challenge = tpm.challenge();
    let mut proof = tpm.answer(&challenge);
    tpm.parent.attributes = 0x0003_0472;
    proof.attest = tpm.attest(&challenge.nonce, &proof.request.transcript());
    proof.signature = tpm.signature(&proof.attest);
    assert_eq!(
        refused(check(&proof, &any_tpm())),
        (
            Check::V12,
            "the key is elsewhere in the TPM, or behind another wall"
        )
    );
}

#[test]
fn v12_an_attestation_key_or_root_elsewhere_is_refused() {
    let mut tpm = SoftwareTpm::new();
    let challenge = tpm.challenge();
    let mut proof = tpm.answer(&challenge);
    tpm.srk = SoftwareTpm::new().srk;
    proof.attest = tpm.attest(&challenge.nonce, &proof.request.transcript());
    proof.signature = tpm.signature(&proof.attest);
    assert_eq!(
        refused(check(&proof, &any_tpm())),
        (Check::V12, "the attestation key is elsewhere in the TPM")
    );
    for bit in [1, 4, 5, 16, 17, 18] {
        let mut tpm = SoftwareTpm::new();
        tpm.srk.attributes ^= 1 << bit;
        assert_eq!(refused(tpm.checked(&any_tpm())).0, Check::V12, "bit {bit}");
    }
}

#[test]
fn v13_the_key_itself_has_to_sign_this_request_for_this_purpose() {
    let tpm = SoftwareTpm::new();
    let good = tpm.proof();
    let transcript = good.request.transcript();
    let with = |sshsig: String| {
        let mut proof = good.clone();
        proof.sshsig = sshsig;
        refused(check(&proof, &any_tpm()))
    };
    let sha512 = SigHash::Sha512;
    let other = SoftwareTpm::new().own_signature(ENROLL_NAMESPACE, sha512, &transcript);
    assert_eq!(with(other), (Check::V13, "another key has signed"));
    // A signature that was made over a file cannot be used for a proof.
    assert_eq!(
        with(tpm.own_signature("file", sha512, &transcript)).0,
        Check::V13
    );
    let message = tpm.own_signature(ENROLL_NAMESPACE, sha512, &[0; 32]);
    assert_eq!(with(message).0, Check::V13);
    let sha256 = tpm.own_signature(ENROLL_NAMESPACE, SigHash::Sha256, &transcript);
    assert_eq!(with(sha256).0, Check::V13);
    assert_eq!(with(String::new()).0, Check::V13);
}
