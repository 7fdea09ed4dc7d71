//! Renewals of certificates.

use crate::node::{Node, renewal};

#[test]
fn a_machine_renews_its_certificate() {
    let node = Node::start();
    let tpm = node.host("web1");
    let first = node.renew(&tpm).certificate();
    let second = node.renew(&tpm).certificate();
    assert_ne!(first.serial(), second.serial());
    assert_eq!(second.principals(), ["web1"]);
    assert_eq!(node.rows("issued"), 3);
}

#[test]
fn v7_a_nonce_is_answered_once() {
    let node = Node::start();
    let tpm = node.host("web1");
    let answer = renewal(&tpm, node.nonce()).to_json();
    let first = node.post("/v1/renew", answer.as_bytes()).certificate();
    let again = node.post("/v1/renew", answer.as_bytes()).certificate();
    assert_eq!(first.blob(), again.blob());
    let other = answer + " ";
    assert_eq!(node.post("/v1/renew", other.as_bytes()).refused().1, "V7");
    let foreign = renewal(&tpm, [7; 32]).to_json();
    assert_eq!(node.post("/v1/renew", foreign.as_bytes()).refused().1, "V7");
    assert_eq!(node.rows("issued"), 2);
}

#[test]
fn a_renewal_for_more_than_the_machine_has_is_refused() {
    let node = Node::start();
    let mut tpm = node.host("web1");
    tpm.principals.push("root".to_owned());
    assert_eq!(node.renew(&tpm).refused().1, "V6");
    tpm.principals = vec!["web1".to_owned()];
    tpm.kind = key_proof::Kind::User;
    assert_eq!(node.renew(&tpm).refused().1, "V6");
    // Signed for one name, sent with another.
    tpm.kind = key_proof::Kind::Host;
    let mut changed = renewal(&tpm, node.nonce());
    changed.principals = vec!["web2".to_owned()];
    let answer = node.post("/v1/renew", changed.to_json().as_bytes());
    assert_eq!(answer.refused().1, "V10");
    assert_eq!(node.rows("issued"), 1);
}

#[test]
fn a_key_that_was_never_here_has_to_enrol() {
    let node = Node::start();
    let tpm = crate::node::host("web1", "");
    let gone = (
        410,
        "enrol-again".to_owned(),
        "this key gets no certificates; the machine may enrol again".to_owned(),
    );
    assert_eq!(node.renew(&tpm).refused(), gone);
}

/// Two copies of one virtual TPM renew in turn: the time of the second copy is behind.
#[test]
fn v14_a_copy_of_a_tpm_is_found_by_its_time() {
    let node = Node::start();
    let token = node.token("host", "web1");
    let mut tpm = crate::node::host("web1", &token);
    // The counters are about to wrap, which can happen because the TPM adds an offset to them.
    tpm.time = (5_000, u32::MAX, 3);
    node.enrol(&tpm).certificate();
    let went_back = "the time of this TPM has gone back: it is a copy, or was restored from one";
    for (time, is_later) in [
        ((5_000, u32::MAX, 3), true),
        ((4_999, u32::MAX, 3), false),
        ((9_000, u32::MAX, 2), false),
        ((1, u32::MAX, 4), true),
        ((9_000, u32::MAX, 3), false),
        ((9_000, u32::MAX - 1, 9), false),
        // After a reset, the clock may be earlier.
        ((0, 0, 0), true),
        ((9_000, u32::MAX, 9), false),
    ] {
        tpm.time = time;
        let answer = node.renew(&tpm);
        if is_later {
            answer.certificate();
        } else {
            let refused = (403, "V14".to_owned(), went_back.to_owned());
            assert_eq!(answer.refused(), refused, "{time:?}");
        }
    }
    tpm.time = (9_000, u32::MAX, 9);
    assert_eq!(node.enrol(&tpm).refused().1, "V14");
}
