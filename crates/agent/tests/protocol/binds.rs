//! Sessions that are bound, and keys that are for some hosts only.

use testing::{AgentClient, frame, message};
use tpm_core::KeyType;

use crate::host::Host;
use crate::keys::{add_constrained, hops, only_to};
use crate::served::{
    EXTENSION_FAILURE, FAILURE, Fixture, SUCCESS, Served, assert_signed, blobs, extension, sign,
};

fn bind(contents: &[u8]) -> Vec<u8> {
    extension("session-bind@openssh.com", contents)
}

/// What a client signs to log in at `host`.
fn login(session: &[u8], key: &[u8], host: &Host) -> Vec<u8> {
    let mut data = frame(session);
    data.push(50);
    for field in [
        "anna",
        "ssh-connection",
        "publickey-hostbound-v00@openssh.com",
    ] {
        data.extend(frame(field.as_bytes()));
    }
    data.push(1);
    for field in [b"ecdsa-sha2-nistp256", key, &host.blob()] {
        data.extend(frame(field));
    }
    data
}

/// A client whose connection was bound to these servers, one after the other.
fn bound(agent: &Served, binds: &[(&Host, &[u8], bool)]) -> AgentClient {
    let mut client = agent.client();
    for (host, session, forwarding) in binds {
        assert_eq!(client.ask(&bind(&host.bind(session, *forwarding))), SUCCESS);
    }
    client
}

fn ask_to_sign(client: &mut AgentClient, key: &[u8], session: &[u8], host: &Host) -> Vec<u8> {
    client.ask(&sign(key, &login(session, key, host), 0))
}

#[test]
fn after_a_bad_bind_a_constrained_key_is_out_of_reach_for_ever() {
    let agent = Fixture::new(&[KeyType::EccP256]).serve();
    let host = Host::new(1);
    add_constrained(&mut agent.client(), &only_to(&host));
    let mut client = agent.client();
    let mut forged = host.bind(b"session", false);
    let at = forged.windows(7).position(|bytes| bytes == b"session");
    forged[at.unwrap()] ^= 1;
    assert_eq!(client.ask(&bind(&forged)), EXTENSION_FAILURE);
    assert_eq!(client.ask(&bind(&host.bind(b"session", false))), SUCCESS);
    assert_eq!(blobs(&mut client).len(), 0);
    let answer = ask_to_sign(&mut client, agent.key(), b"session", &host);
    assert_eq!(answer, FAILURE);
    let mut other = bound(&agent, &[(&host, b"session", false)]);
    let answer = ask_to_sign(&mut other, agent.key(), b"session", &host);
    assert_eq!(answer[0], 14, "the key itself is well");
}

#[test]
fn what_would_confuse_two_sessions_is_refused() {
    let agent = Fixture::new(&[]).serve();
    let (one, two) = (Host::new(1), Host::new(2));
    let mut client = bound(&agent, &[(&one, b"login", false)]);
    assert_eq!(
        client.ask(&bind(&one.bind(b"other", true))),
        EXTENSION_FAILURE
    );
    let mut client = bound(&agent, &[(&one, b"s", true)]);
    assert_eq!(client.ask(&bind(&two.bind(b"s", true))), EXTENSION_FAILURE);
    assert_eq!(client.ask(&bind(&one.bind(b"s", true))), SUCCESS, "again");
    let mut client = bound(&agent, &[(&one, &[7; 128], true)]);
    let long = bind(&one.bind(&[7; 129], true));
    assert_eq!(client.ask(&long), EXTENSION_FAILURE);
    let mut client = agent.client();
    for session in 0..16 {
        assert_eq!(client.ask(&bind(&one.bind(&[session], true))), SUCCESS);
    }
    assert_eq!(client.ask(&bind(&one.bind(&[16], true))), EXTENSION_FAILURE);
    for cut in [0, 1, 50] {
        let whole = one.bind(b"s", true);
        let cut = bind(&whole[..cut]);
        assert_eq!(agent.client().ask(&cut), EXTENSION_FAILURE);
    }
}

#[test]
fn a_constrained_key_signs_for_its_hosts_only_and_is_hidden_elsewhere() {
    let agent = Fixture::new(&[KeyType::EccP256]).serve();
    let (jump, far, bad) = (Host::new(1), Host::new(2), Host::new(3));
    add_constrained(
        &mut agent.client(),
        &hops(&[(None, &jump), (Some(&jump), &far)]),
    );
    let key = agent.key();
    let signs = |client: &mut AgentClient, session: &[u8], host: &Host| {
        let answer = ask_to_sign(client, key, session, host);
        if answer == FAILURE {
            return false;
        }
        assert_signed(&answer, key, &login(session, key, host));
        true
    };

    let mut client = bound(&agent, &[(&jump, b"j", false)]);
    assert!(signs(&mut client, b"j", &jump));
    assert!(!signs(&mut client, b"x", &jump), "another session");
    assert!(!signs(&mut client, b"j", &far), "another host");
    assert_eq!(client.ask(&sign(key, b"anything", 0)), FAILURE);

    let mut client = bound(&agent, &[(&bad, b"b", false)]);
    assert!(!signs(&mut client, b"b", &bad));
    assert_eq!(blobs(&mut client).len(), 0, "hidden");

    let mut client = bound(&agent, &[(&jump, b"j", true)]);
    assert!(!signs(&mut client, b"j", &jump), "only forwarded to it");
    assert_eq!(blobs(&mut client), [key]);

    let mut client = bound(&agent, &[(&jump, b"j", true), (&far, b"f", false)]);
    assert!(signs(&mut client, b"f", &far));

    let mut client = bound(&agent, &[(&jump, b"j", true), (&bad, b"b", false)]);
    assert!(!signs(&mut client, b"b", &bad));
    assert_eq!(blobs(&mut client).len(), 0, "hidden");

    let mut unbound = agent.client();
    assert_eq!(blobs(&mut unbound), [key], "its owner sees it");
    assert!(!signs(&mut unbound, b"j", &jump));
}

/// A remote machine cannot add keys, not even free of conditions those that have some.
#[test]
fn a_remote_connection_cannot_lift_a_condition() {
    let agent = Fixture::new(&[KeyType::EccP256]).serve();
    let host = Host::new(1);
    add_constrained(&mut agent.client(), &only_to(&host));
    let mut client = bound(&agent, &[(&host, b"s", true)]);
    assert_eq!(client.ask(&message(20, &[b"tpmssh", b""])), FAILURE);
    let unlock = [frame(b"t"), frame(b"1234"), vec![0; 4]].concat();
    assert_eq!(
        client.ask(&extension("unlock@tpmssh", &unlock)),
        EXTENSION_FAILURE
    );
}
