//! What a bind has to be, and what is kept of it.

use agent::bind::{Binds, Refused};

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
    assert!(matches!(err, Refused::Signature), "{err}");
    assert!(binds.failed() && binds.is_bound() && binds.list().is_empty());
}

#[test]
fn what_would_confuse_two_servers_is_refused() {
    let (one, two) = (Host::new(1), Host::new(2));
    let mut binds = Binds::default();
    binds.add(&one.bind(b"login", false)).unwrap();
    let err = binds.add(&one.bind(b"other", false)).unwrap_err();
    assert!(matches!(err, Refused::AfterLogin), "{err}");

    let mut binds = Binds::default();
    binds.add(&one.bind(b"sid", true)).unwrap();
    let err = binds.add(&two.bind(b"sid", true)).unwrap_err();
    assert!(matches!(err, Refused::OtherKey), "{err}");

    let mut binds = Binds::default();
    binds.add(&one.bind(&[7; 128], true)).unwrap();
    let err = binds.add(&one.bind(&[7; 129], true)).unwrap_err();
    assert!(matches!(err, Refused::SessionId), "{err}");

    let mut binds = Binds::default();
    for session in 0..16 {
        binds.add(&one.bind(&[session], true)).unwrap();
    }
    let err = binds.add(&one.bind(&[16], true)).unwrap_err();
    assert!(matches!(err, Refused::TooMany), "{err}");
}

#[test]
fn a_cut_bind_is_refused() {
    let whole = Host::new(1).bind(b"sid", true);
    for len in 0..whole.len() {
        assert!(Binds::default().add(&whole[..len]).is_err(), "{len}");
    }
}
