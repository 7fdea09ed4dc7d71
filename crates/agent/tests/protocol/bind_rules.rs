//! What a bind has to be, and what is kept of it.

use agent::bind::{Binds, Refused};
use ssh_key::certificate::CertType;
use testing::assert_matches;

use crate::host::Host;

#[test]
fn a_signed_session_is_kept_once() {
    let host = Host::new(1);
    let mut binds = Binds::default();
    assert!(!binds.is_bound());
    binds.add(&host.bind(b"sid", true)).unwrap();
    binds.add(&host.bind(b"sid", true)).unwrap();
    assert_eq!(binds.list().len(), 1);
    assert!(binds.is_bound() && !binds.failed());
}

#[test]
fn a_wrong_signature_is_refused_and_remembered() {
    let mut contents = Host::new(1).bind(b"sid", false);
    let at = contents.iter().position(|&byte| byte == b's').unwrap();
    let sid = contents.windows(3).position(|w| w == b"sid").unwrap();
    assert!(at <= sid);
    contents[sid] ^= 1;
    let mut binds = Binds::default();
    let err = binds.add(&contents).unwrap_err();
    assert_matches!(err, Refused::Signature);
    assert!(binds.failed() && binds.is_bound() && binds.list().is_empty());
}

#[test]
fn what_would_confuse_two_servers_is_refused() {
    let (one, two) = (Host::new(1), Host::new(2));
    let mut binds = Binds::default();
    binds.add(&one.bind(b"login", false)).unwrap();
    let err = binds.add(&one.bind(b"other", false)).unwrap_err();
    assert_matches!(err, Refused::AfterLogin);

    let mut binds = Binds::default();
    binds.add(&one.bind(b"sid", true)).unwrap();
    let err = binds.add(&two.bind(b"sid", true)).unwrap_err();
    assert_matches!(err, Refused::OtherKey);

    let mut binds = Binds::default();
    binds.add(&one.bind(&[7; 128], true)).unwrap();
    let err = binds.add(&one.bind(&[7; 129], true)).unwrap_err();
    assert_matches!(err, Refused::SessionId);

    let mut binds = Binds::default();
    for session in 0..16 {
        binds.add(&one.bind(&[session], true)).unwrap();
    }
    let err = binds.add(&one.bind(&[16], true)).unwrap_err();
    assert_matches!(err, Refused::TooMany);
}

#[test]
fn a_cut_bind_is_refused() {
    let whole = Host::new(1).bind(b"sid", true);
    for len in 0..whole.len() {
        assert!(Binds::default().add(&whole[..len]).is_err(), "{len}");
    }
}

/// A server's key of ML-DSA-44 and Ed25519, and a session of 96 bytes that OpenSSH 10.6 signed with
/// it: what `ssh-keygen -Y sign` signs is no longer than a session id may be.
const MLDSA: &[u8] = include_bytes!("mldsa.bind");

#[test]
fn a_server_with_a_post_quantum_key_is_bound() {
    let mut binds = Binds::default();
    binds.add(MLDSA).unwrap();
    assert_eq!(binds.list()[0].session_id.len(), 96);

    // The flag is the last byte, and the signature stands before it.
    let mut forged = MLDSA.to_vec();
    let last = forged.len() - 2;
    forged[last] ^= 1;
    let err = Binds::default().add(&forged).unwrap_err();
    assert_matches!(err, Refused::Signature);
}

/// What is not known here is not called forged.
#[test]
fn a_server_whose_key_is_not_known_here_is_refused_for_that() {
    let refused = |host_key: &[u8]| {
        let mut binds = Binds::default();
        let contents = Host::new(1).bind_as(host_key, b"sid", false);
        let said = binds.add(&contents).unwrap_err().to_string();
        assert!(binds.failed());
        said
    };
    let unknown = [testing::frame(b"ssh-future"), testing::frame(&[7; 32])].concat();
    assert_eq!(
        refused(&unknown),
        "the server's key cannot be checked: keys of type ssh-future are not known here"
    );
    assert_eq!(
        refused(b"\0\0\0\x0bssh-ed25519\0\0\0\x01x"),
        "the server's key cannot be checked: the public key is malformed: it has 1 bytes and not 32"
    );
    let (host, authority) = (Host::new(1), Host::new(2));
    let mut certificate = authority.certify(&host.blob(), CertType::Host, "host", 1 << 40);
    Binds::default()
        .add(&host.bind_as(&certificate, b"sid", false))
        .unwrap();
    *certificate.last_mut().unwrap() ^= 1;
    assert_eq!(
        refused(&certificate),
        "the server's certificate is not good: the signature does not match"
    );
}
