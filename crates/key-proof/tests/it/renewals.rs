//! Renewals of keys that were proven before.

use key_proof::{
    Binding, Check, ENROLL_NAMESPACE, Identity, Kind, Renewal, TicketKey, renewal_transcript,
    verify_renewal,
};
use rand_core::OsRng;
use ssh_format::SigHash;

use crate::software_tpm::{NOW, SoftwareTpm, any_tpm, check, refused, ticket_key};

const AUDIENCE: &str = "https://ca.example/";

/// A TPM, and the binding that its verifier stores.
fn enrolled() -> (SoftwareTpm, Binding) {
    let tpm = SoftwareTpm::new();
    let verified = check(&tpm.proof(), &any_tpm()).unwrap();
    (tpm, verified.binding)
}

fn renewal(tpm: &SoftwareTpm, binding: &Binding, nonce: [u8; 32]) -> Renewal {
    let (kind, principals) = (Kind::User, vec!["anna".to_owned()]);
    let attestation_key = binding.attestation_key.name();
    let transcript = renewal_transcript(
        &attestation_key,
        &binding.key,
        kind,
        &principals,
        AUDIENCE,
        &nonce,
    );
    let attest = tpm.attest(&nonce, &transcript);
    Renewal {
        attestation_key,
        key: binding.key.clone(),
        kind,
        principals,
        nonce,
        signature: tpm.signature(&attest),
        attest,
        sshsig: tpm.own_signature(ENROLL_NAMESPACE, SigHash::Sha512, &transcript),
    }
}

fn nonce() -> [u8; 32] {
    ticket_key().renewal_nonce(AUDIENCE, NOW, &mut OsRng)
}

#[test]
fn a_renewal_passes_and_reads_back_as_it_was() {
    let (tpm, binding) = enrolled();
    let renewal = renewal(&tpm, &binding, nonce());
    assert!(verify_renewal(&renewal, &binding, AUDIENCE).is_ok());
    let read = Renewal::from_json(renewal.to_json().as_bytes());
    assert_eq!(read, Ok(renewal));
}

#[test]
fn a_renewal_for_anything_else_than_was_signed_is_refused() {
    let (tpm, binding) = enrolled();
    let good = renewal(&tpm, &binding, nonce());
    let audience = verify_renewal(&good, &binding, "https://other.example/");
    assert_eq!(refused(audience).0, Check::V10);
    type Change = (&'static str, fn(&mut Renewal));
    let changes: [Change; 4] = [
        ("more principals", |it| it.principals.push("root".into())),
        ("another principal", |it| {
            it.principals = vec!["root".into()]
        }),
        ("another kind", |it| it.kind = Kind::Host),
        ("another nonce", |it| it.nonce[31] ^= 1),
    ];
    for (what, change) in changes {
        let mut changed = good.clone();
        change(&mut changed);
        let result = verify_renewal(&changed, &binding, AUDIENCE);
        assert_eq!(refused(result).0, Check::V10, "{what}");
    }
    let mut cut = good.clone();
    cut.attest.pop();
    assert_eq!(
        refused(verify_renewal(&cut, &binding, AUDIENCE)).0,
        Check::V9
    );
    let mut other = good.clone();
    other.sshsig = tpm.own_signature("file", SigHash::Sha512, b"x");
    assert_eq!(
        refused(verify_renewal(&other, &binding, AUDIENCE)).0,
        Check::V13
    );
}

#[test]
fn a_renewal_by_another_tpm_is_refused() {
    let (tpm, binding) = enrolled();
    let (other, other_binding) = enrolled();
    // The other TPM's renewal, sent as one for the first TPM's key.
    let mut relayed = renewal(&other, &other_binding, nonce());
    let result = verify_renewal(&relayed, &binding, AUDIENCE);
    assert_eq!(refused(result).0, Check::V11);
    relayed.key = binding.key.clone();
    let result = verify_renewal(&relayed, &binding, AUDIENCE);
    assert_eq!(refused(result).0, Check::V9);
    relayed.attestation_key = binding.attestation_key.name();
    let result = verify_renewal(&relayed, &binding, AUDIENCE);
    assert_eq!(refused(result).0, Check::V9);
    // The right attestation key, below another parent: another wall.
    let mut moved = SoftwareTpm::new();
    moved.behind_nothing();
    (moved.ak, moved.srk, moved.key) = (tpm.ak.clone(), tpm.srk.clone(), tpm.key.clone());
    let result = verify_renewal(&renewal(&moved, &binding, nonce()), &binding, AUDIENCE);
    assert_eq!(refused(result).0, Check::V12);
}

#[test]
fn a_nonce_is_good_for_a_minute_at_its_own_verifier_alone() {
    let nonce = nonce();
    let check = |keys: &[TicketKey], nonce: &[u8; 32], audience: &str, now| {
        TicketKey::check_renewal_nonce(keys, nonce, audience, now)
    };
    let ours = [TicketKey::new([1; 32]), ticket_key()];
    assert_eq!(check(&ours, &nonce, AUDIENCE, NOW), Ok(NOW + 90));
    assert_eq!(check(&ours, &nonce, AUDIENCE, NOW + 90), Ok(NOW + 90));
    assert_eq!(check(&ours, &nonce, AUDIENCE, NOW - 30), Ok(NOW + 90));
    for (keys, audience, now, why) in [
        (
            &ours[..1],
            AUDIENCE,
            NOW,
            "its nonce was not made by this verifier, or too long ago",
        ),
        (
            &ours,
            "",
            NOW,
            "its nonce was not made by this verifier, or too long ago",
        ),
        (&ours, AUDIENCE, NOW + 91, "its nonce has expired"),
        (
            &ours,
            AUDIENCE,
            NOW - 31,
            "its nonce is from the future: a clock is wrong",
        ),
    ] {
        assert_eq!(
            refused(check(keys, &nonce, audience, now)),
            (Check::V7, why)
        );
    }
    for byte in 0..32 {
        let mut changed = nonce;
        changed[byte] ^= 1;
        assert_eq!(
            refused(check(&ours, &changed, AUDIENCE, NOW)).0,
            Check::V7,
            "byte {byte}"
        );
    }
}

/// The challenge is bound to the role, and a missing role differs from an empty one.
#[test]
fn v7_a_proof_for_another_role_than_its_challenge_is_refused() {
    for (asked, shown) in [
        (None, Some("")),
        (Some("staff"), None),
        (Some("staff"), Some("admins")),
    ] {
        let mut tpm = SoftwareTpm::new();
        tpm.role = asked.map(str::to_owned);
        let mut proof = tpm.proof();
        let read = key_proof::Proof::from_json(proof.to_json().as_bytes()).unwrap();
        assert_eq!(read, proof);
        assert!(check(&proof, &any_tpm()).is_ok());
        proof.request.role = shown.map(str::to_owned);
        assert_eq!(refused(check(&proof, &any_tpm())).0, Check::V7);
    }
}

/// A signature by another key as an identity is over the whole request without that signature.
#[test]
fn the_hash_without_identity_is_that_of_the_request_without_one() {
    let mut tpm = SoftwareTpm::new();
    let bare = tpm.request();
    assert_eq!(bare.without_identity(), bare.transcript());
    tpm.identity = Identity::Ssh("signature".to_owned());
    let shown = tpm.request();
    assert_eq!(shown.without_identity(), bare.transcript());
    assert_ne!(shown.transcript(), bare.transcript());
    let mut other = shown.clone();
    other.principals = vec!["bert".to_owned()];
    assert_ne!(other.without_identity(), shown.without_identity());
}

/// The nonce is a hash of both keys. The identity provider puts it into its token.
#[test]
fn the_nonce_for_an_identity_provider_is_of_both_keys() {
    use base64ct::{Base64UrlUnpadded, Encoding};
    use sha2::{Digest, Sha256};
    let mut tpm = SoftwareTpm::new();
    let names = [tpm.ak.name(), tpm.key.name()].concat();
    let hash = Sha256::digest([b"tpmssh-oidc-v1", &names[..]].concat());
    let nonce = tpm.request().identity_nonce().unwrap();
    let expected = Base64UrlUnpadded::encode_string(&hash);
    assert_eq!(nonce, expected);
    assert_eq!(nonce.len(), 43);
    let others = [SoftwareTpm::new().request(), {
        tpm.key = SoftwareTpm::new().key;
        tpm.request()
    }];
    for other in others {
        assert_ne!(other.identity_nonce().unwrap(), nonce);
    }
    let mut bad = tpm.request();
    bad.key.pop();
    assert!(bad.identity_nonce().is_err());
}

/// The challenge is bound to the join token, so the token cannot be replaced.
#[test]
fn v7_a_proof_with_another_identity_than_its_challenge_is_refused() {
    let mut tpm = SoftwareTpm::new();
    tpm.identity = Identity::Join("canary7".to_owned());
    let proof = tpm.proof();
    assert!(check(&proof, &any_tpm()).is_ok());
    for identity in [
        Identity::None,
        Identity::Join("two".to_owned()),
        Identity::Ssh("canary7".to_owned()),
        Identity::Oidc("canary7".to_owned()),
    ] {
        let mut changed = proof.clone();
        changed.request.identity = identity;
        assert_eq!(refused(check(&changed, &any_tpm())).0, Check::V7);
    }
    assert!(
        !format!("{proof:?}").contains("canary7"),
        "a token is shown"
    );
    assert_eq!(format!("{:?}", tpm.identity), "Join(…)");
    assert_eq!(format!("{:?}", Identity::None), "None");
}
