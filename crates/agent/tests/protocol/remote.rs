//! Connections that came from another machine: they use keys and manage nothing.

use std::time::{Duration, Instant};

use testing::{AgentClient, frame, message};
use tpm_core::KeyType;

use crate::attest::attest;
use crate::host::Host;
use crate::served::{
    EXTENSION_FAILURE, FAILURE, Fixture, PIN, SUCCESS, Served, blobs, eventually, extension, sign,
};

/// A request, and the answer to it.
type Said = (Vec<u8>, &'static [u8]);

const LOCK: u8 = 22;
const UNLOCK: u8 = 23;

/// Connections that are not local ones: forwarded, forwarded twice, of a login, and with a bind
/// that was refused, before or after a good one.
fn remote(agent: &Served) -> Vec<(&'static str, AgentClient)> {
    let host = Host::new(1);
    let bind = |contents: &[u8]| extension("session-bind@openssh.com", contents);
    let good = |session: &[u8], forwarding| (bind(&host.bind(session, forwarding)), SUCCESS);
    let bad = || (bind(b"nonsense"), EXTENSION_FAILURE);
    let all = [
        ("forwarded", vec![good(b"a", true)]),
        ("forwarded twice", vec![good(b"a", true), good(b"b", true)]),
        ("of a login", vec![good(b"a", false)]),
        ("refused", vec![bad()]),
        ("refused, then forwarded", vec![bad(), good(b"a", true)]),
        ("forwarded, then refused", vec![good(b"a", true), bad()]),
    ];
    let connect = |(what, binds): (&'static str, Vec<Said>)| {
        let mut client = agent.client();
        for (bind, answer) in binds {
            assert_eq!(client.ask(&bind), answer, "{what}");
        }
        (what, client)
    };
    all.into_iter().map(connect).collect()
}

/// Every request that manages, as it would be done for a local connection.
fn managing(key: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let unlock = [frame(b"t"), frame(PIN.as_bytes()), vec![0; 4]].concat();
    vec![
        (
            "add",
            message(17, &[b"ssh-ed25519", &[1; 32], &[2; 64], b"c"]),
        ),
        (
            "add constrained",
            message(25, &[b"ssh-ed25519", &[1; 32], &[2; 64], b"c"]),
        ),
        ("add card", message(20, &[b"tpmssh:t", PIN.as_bytes()])),
        (
            "add card constrained",
            message(26, &[b"tpmssh:t", PIN.as_bytes()]),
        ),
        ("remove", message(18, &[key])),
        ("remove card", message(21, &[b"tpmssh:t", b""])),
        ("remove all", vec![19]),
        ("unlock@tpmssh", extension("unlock@tpmssh", &unlock)),
        ("unlock@tpmssh, cut", extension("unlock@tpmssh", b"")),
        ("status@tpmssh", extension("status@tpmssh", b"")),
        ("attest@tpmssh", attest(key, &[1; 32], &[2; 32])),
        ("attest@tpmssh, cut", extension("attest@tpmssh", b"")),
        ("lock@tpmssh", extension("lock@tpmssh", b"")),
        ("lock", message(LOCK, &[b"sesame"])),
    ]
}

#[test]
fn a_remote_connection_manages_nothing_and_spends_no_try() {
    let agent = Fixture::with_pin().serve();
    let mut owner = agent.client();
    let open = message(20, &[b"tpmssh:t", PIN.as_bytes()]);
    assert_eq!(owner.ask(&open), SUCCESS);
    for (what, mut client) in remote(&agent) {
        for (request, bytes) in managing(agent.key()) {
            let answer = client.ask(&bytes);
            let expected = if bytes[0] == 27 {
                EXTENSION_FAILURE
            } else {
                FAILURE
            };
            assert_eq!(answer, expected, "{request}, {what}");
        }
        let wrong = message(20, &[b"tpmssh:t", b"wrong"]);
        assert_eq!(client.ask(&wrong), FAILURE, "{what}");
        // The key is there, the login is, nothing is locked: it can be used.
        assert_eq!(client.ask(&sign(agent.key(), b"data", 0))[0], 14, "{what}");
        assert_eq!(blobs(&mut owner), agent.fixture.keys, "{what}");
    }
    assert_eq!(agent.fixture.tries_left(), 3);
    let refused = "refused: the connection is not a local one";
    eventually(|| agent.log().contains(refused));
    // With a control that each of them is done for a local connection that is not refused.
    let done = managing(agent.key()).into_iter().filter(|(name, bytes)| {
        let answer = agent.client().ask(bytes);
        answer == SUCCESS && name != &"add"
    });
    let done: Vec<_> = done.map(|(name, _)| name).collect();
    let all = [
        "add card",
        "add card constrained",
        "remove",
        "remove card",
        "remove all",
        "unlock@tpmssh",
        "lock@tpmssh",
        "lock",
    ];
    assert_eq!(done, all);
}

/// Not even with the right passphrase; and wrong ones add nothing to the delay that the owner
/// has after wrong ones of his own.
#[test]
fn a_remote_connection_unlocks_nothing_and_delays_nobody() {
    let agent = Fixture::new(&[KeyType::EccP256]).serve();
    let mut owner = agent.client();
    assert_eq!(owner.ask(&message(LOCK, &[b"sesame"])), SUCCESS);
    let start = Instant::now();
    for (what, mut client) in remote(&agent) {
        for _ in 0..20 {
            assert_eq!(client.ask(&message(UNLOCK, &[b"wrong"])), FAILURE, "{what}");
        }
        assert_eq!(
            client.ask(&message(UNLOCK, &[b"sesame"])),
            FAILURE,
            "{what}"
        );
        assert!(blobs(&mut owner).is_empty(), "still locked: {what}");
    }
    // One after the other they would have taken 12 minutes.
    assert!(start.elapsed() < Duration::from_secs(30));
    // The owner's first wrong one takes a tenth of a second, and not ten.
    let start = Instant::now();
    assert_eq!(owner.ask(&message(UNLOCK, &[b"wrong"])), FAILURE);
    assert!(
        start.elapsed() < Duration::from_secs(5),
        "{:?}",
        start.elapsed()
    );
    assert_eq!(owner.ask(&message(UNLOCK, &[b"sesame"])), SUCCESS);
    assert_eq!(blobs(&mut owner), agent.fixture.keys);
}
