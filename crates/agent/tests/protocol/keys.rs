//! Adding and removing keys, and their conditions.

use std::time::{Duration, Instant};

use rustix::fs::inotify;
use testing::{frame, message};
use token_store::{KeySpec, OpenToken, Store};
use tpm_core::KeyType;

use crate::host::Host;
use crate::served::{
    FAILURE, Fixture, LIST, PIN, REMOVE_ALL, SUCCESS, blobs, eventually, extension, listed, sign,
};

/// `SSH_AGENTC_ADD_SMARTCARD_KEY_CONSTRAINED` of the token `t`.
pub(crate) fn add(constraints: &[u8]) -> Vec<u8> {
    let mut request = message(26, &[b"tpmssh:t", b""]);
    request.extend(constraints);
    request
}

/// `restrict-destination-v00@openssh.com`: from here to `host` and nowhere else.
pub(crate) fn only_to(host: &Host) -> Vec<u8> {
    hops(&[(None, host)])
}

/// The same with several hops.
pub(crate) fn hops(list: &[(Option<&Host>, &Host)]) -> Vec<u8> {
    let hop = |host: Option<&Host>| {
        let name = host.map_or("", |_| "host");
        let mut hop = [frame(b""), frame(name.as_bytes()), frame(b"")].concat();
        if let Some(host) = host {
            hop.extend(frame(&host.blob()));
            hop.push(0);
        }
        hop
    };
    let entries = list.iter().map(|(from, to)| {
        let parts = [hop(*from), hop(Some(to)), Vec::new()];
        frame(
            &parts
                .iter()
                .flat_map(|part| frame(part))
                .collect::<Vec<_>>(),
        )
    });
    constraint(
        "restrict-destination-v00@openssh.com",
        &entries.collect::<Vec<_>>().concat(),
    )
}

pub(crate) fn constraint(name: &str, contents: &[u8]) -> Vec<u8> {
    message(255, &[name.as_bytes(), contents])
}

/// Adds the keys of the token `t` under these conditions.
pub(crate) fn add_constrained(client: &mut testing::AgentClient, constraints: &[u8]) {
    assert_eq!(client.ask(&add(constraints)), SUCCESS);
}

#[test]
fn a_key_of_software_is_refused_and_not_listed() {
    let agent = Fixture::new(&[KeyType::EccP256]).serve();
    let mut client = agent.client();
    let private = message(17, &[b"ssh-ed25519", &[1; 32], &[2; 64], b"comment"]);
    assert_eq!(client.ask(&private), FAILURE);
    let mut constrained = private.clone();
    constrained[0] = 25;
    constrained.push(2);
    assert_eq!(client.ask(&constrained), FAILURE);
    assert_eq!(blobs(&mut client), agent.fixture.keys);
}

/// With a control that the watch works.
#[test]
fn a_module_is_refused_and_its_file_not_even_opened() {
    let agent = Fixture::new(&[KeyType::EccP256]).serve();
    let module = agent.fixture.dir.path().join("module.so");
    std::fs::write(&module, "").unwrap();
    let watch = inotify::init(inotify::CreateFlags::NONBLOCK).unwrap();
    inotify::add_watch(&watch, &module, inotify::WatchFlags::OPEN).unwrap();
    let mut events = [const { std::mem::MaybeUninit::uninit() }; 1024];
    let mut was_opened = || inotify::Reader::new(&watch, &mut events).next().is_ok();
    let mut client = agent.client();
    for kind in [20, 21, 26] {
        let path = module.to_str().unwrap().as_bytes();
        assert_eq!(client.ask(&message(kind, &[path, b"1234"])), FAILURE);
    }
    assert!(!was_opened());
    std::fs::File::open(&module).unwrap();
    assert!(was_opened());
    assert_eq!(blobs(&mut client), agent.fixture.keys);
}

#[test]
fn a_key_is_not_added_with_conditions_that_are_not_understood() {
    let agent = Fixture::new(&[KeyType::EccP256]).serve();
    let mut client = agent.client();
    assert_eq!(client.ask(REMOVE_ALL), SUCCESS);
    let host = Host::new(1);
    let many = hops(&vec![(None, &host); 1025]);
    let named = |from_user: &[u8], to_user: &[u8]| {
        let hop = |user: &[u8], name: &[u8]| {
            let mut hop = [frame(user), frame(name), frame(b"")].concat();
            if !name.is_empty() {
                hop.extend(frame(&host.blob()));
                hop.push(0);
            }
            hop
        };
        let entry = [
            frame(&hop(from_user, b"")),
            frame(&hop(to_user, b"host")),
            frame(b""),
        ];
        constraint(
            "restrict-destination-v00@openssh.com",
            &frame(&entry.concat()),
        )
    };
    for (what, bytes) in [
        ("an unknown extension", constraint("x@example.org", b"")),
        ("an unknown type", vec![9]),
        ("1025 destinations", many),
        ("a long user", named(b"", &[b'u'; 257])),
        ("a user of the origin", named(b"me", b"")),
        ("a cut lifetime", vec![1, 0]),
    ] {
        assert_eq!(client.ask(&add(&bytes)), FAILURE, "{what}");
        assert_eq!(blobs(&mut client).len(), 0, "{what}");
    }
    assert_eq!(client.ask(&add(&named(b"", &[b'u'; 256]))), SUCCESS);
    assert_eq!(blobs(&mut client), agent.fixture.keys);
}

#[test]
fn a_key_is_gone_after_its_lifetime() {
    // A person who says yes to a longer life.
    let agent = Fixture::new(&[KeyType::EccP256]).askpass("exit 0").serve();
    let mut client = agent.client();
    let start = Instant::now();
    add_constrained(&mut client, &[1, 0, 0, 0, 1]);
    let there = blobs(&mut client);
    if start.elapsed() < Duration::from_secs(1) {
        assert_eq!(there, agent.fixture.keys);
    }
    eventually(|| blobs(&mut client).is_empty());
    assert!(start.elapsed() >= Duration::from_secs(1));
    assert_eq!(client.ask(&sign(agent.key(), b"data", 0)), FAILURE);
    add_constrained(&mut client, &[]);
    assert_eq!(blobs(&mut client), agent.fixture.keys);
}

#[test]
fn a_condition_holds_for_all_keys_of_a_token() {
    let agent = Fixture::new(&[KeyType::EccP256; 3]).serve();
    let (good, bad) = (Host::new(1), Host::new(2));
    add_constrained(&mut agent.client(), &only_to(&good));
    let mut there = agent.client();
    let bind = |host: &Host| extension("session-bind@openssh.com", &host.bind(b"s", false));
    assert_eq!(there.ask(&bind(&good)), SUCCESS);
    assert_eq!(blobs(&mut there), agent.fixture.keys);
    let mut elsewhere = agent.client();
    assert_eq!(elsewhere.ask(&bind(&bad)), SUCCESS);
    assert_eq!(listed(&elsewhere.ask(LIST)), []);
    for key in &agent.fixture.keys {
        assert_eq!(elsewhere.ask(&sign(key, b"data", 0)), FAILURE);
    }
}

#[test]
fn one_key_is_removed_and_added_again_by_its_token() {
    let agent = Fixture::new(&[KeyType::EccP256; 2]).serve();
    let mut client = agent.client();
    let [first, second] = [agent.key(), &agent.fixture.keys[1]];
    assert_eq!(client.ask(&message(18, &[first])), SUCCESS);
    assert_eq!(blobs(&mut client), [second]);
    assert_eq!(client.ask(&sign(first, b"data", 0)), FAILURE);
    assert_eq!(client.ask(&message(18, &[first])), FAILURE, "it is gone");
    for name in [&b"tpmssh"[..], b"tpmssh:t"] {
        assert_eq!(client.ask(&message(20, &[name, b""])), SUCCESS);
        assert_eq!(blobs(&mut client), agent.fixture.keys);
        assert_eq!(client.ask(&message(21, &[name, b""])), SUCCESS);
        assert_eq!(blobs(&mut client).len(), 0);
    }
    for name in [&b"tpmssh:other"[..], b"tpmssh-t", b""] {
        assert_eq!(client.ask(&message(20, &[name, b""])), FAILURE);
    }
}

#[test]
fn keys_appear_and_disappear_by_themselves_without_the_tpm() {
    let agent = Fixture::with_pin().serve();
    let mut client = agent.client();
    assert_eq!(blobs(&mut client).len(), 1);
    assert_eq!(agent.fixture.tap.count(), 0);

    let mut store = Store::open(&agent.fixture.store()).unwrap();
    let token = store.find_token("t").unwrap();
    let tpm = std::sync::Arc::new(tpm_core::Tpm::new(
        agent.fixture.tap.tcti().parse().unwrap(),
    ));
    let pin = token_store::Pin::new(PIN.as_bytes()).unwrap();
    let open = OpenToken::open(&store, &tpm, &token, Some(&pin)).unwrap();
    let spec = KeySpec::new(KeyType::EccP256, "new");
    let pair = open.generate(&mut store, &spec).unwrap();
    let list = listed(&client.ask(LIST));
    assert_eq!(list.len(), 2);
    assert_eq!(list[1].1, "new");

    store.delete_object(pair.private.id).unwrap();
    assert_eq!(blobs(&mut client), agent.fixture.keys);
}
