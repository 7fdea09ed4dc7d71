//! The lock of the agent.

use std::time::{Duration, Instant};

use testing::message;
use tpm_core::KeyType;

use crate::host::Host;
use crate::served::{FAILURE, Fixture, LIST, SUCCESS, assert_signed, blobs, extension, sign};

#[test]
fn a_locked_agent_shows_and_signs_nothing_and_wrong_passphrases_take_longer_and_longer() {
    let agent = Fixture::new(&[KeyType::EccP256]).serve();
    let mut client = agent.client();
    let unlock = |passphrase: &[u8]| message(23, &[passphrase]);
    assert_eq!(client.ask(&unlock(b"")), FAILURE, "it is not locked");
    assert_eq!(client.ask(&message(22, &[b"sesame \xff"])), SUCCESS);
    assert_eq!(client.ask(&message(22, &[b"again"])), FAILURE);
    assert_eq!(client.ask(LIST), [12, 0, 0, 0, 0]);
    assert_eq!(client.ask(&sign(agent.key(), b"data", 0)), FAILURE);
    assert_eq!(client.ask(&[19]), FAILURE);
    for round in 1..=3 {
        let start = Instant::now();
        assert_eq!(client.ask(&unlock(b"open")), FAILURE);
        let least = Duration::from_millis(100 * round);
        assert!(start.elapsed() >= least, "{:?}", start.elapsed());
    }
    // Another client need not wait for that.
    assert_eq!(client.ask(&unlock(b"sesame \xff")), SUCCESS);
    assert_eq!(blobs(&mut client), agent.fixture.keys);
    let answer = client.ask(&sign(agent.key(), b"data", 0));
    assert_signed(&answer, agent.key(), b"data");
    assert!(!agent.log().contains("sesame"));
}

#[test]
fn a_session_is_bound_also_while_the_agent_is_locked() {
    let agent = Fixture::new(&[KeyType::EccP256]).serve();
    let mut client = agent.client();
    assert_eq!(client.ask(&message(22, &[b"sesame"])), SUCCESS);
    let bind = Host::new(1).bind(b"session", true);
    let bind = extension("session-bind@openssh.com", &bind);
    assert_eq!(client.ask(&bind), SUCCESS);
    // It is a remote one now: keys can be used, and nothing is managed.
    let unlock = message(23, &[b"sesame"]);
    assert_eq!(client.ask(&unlock), FAILURE);
    assert_eq!(agent.client().ask(&unlock), SUCCESS);
    assert_eq!(client.ask(&message(20, &[b"tpmssh", b""])), FAILURE);
    assert_eq!(client.ask(&message(22, &[b"sesame"])), FAILURE);
    assert_eq!(client.ask(&extension("lock@tpmssh", b"")), [28]);
    let answer = client.ask(&sign(agent.key(), b"data", 0));
    assert_signed(&answer, agent.key(), b"data");
    assert_eq!(
        agent.client().ask(&message(20, &[b"tpmssh", b""])),
        SUCCESS,
        "a local connection may"
    );
}
