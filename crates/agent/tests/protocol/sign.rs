//! Signatures.

use ssh_key::certificate::CertType;
use testing::{Fault, When, assert_matches};
use token_store::Store;
use tpm_core::KeyType;

use crate::host::Host;
use crate::served::{
    FAILURE, Fixture, REMOVE_ALL, SIGN, assert_signed, blobs, eventually, listed, sign,
};

#[test]
fn an_unknown_key_costs_nothing() {
    let agent = Fixture::with_pin().serve();
    let mut client = agent.client();
    for key in [&b"nonsense"[..], &Host::new(1).blob(), b""] {
        assert_eq!(client.ask(&sign(key, b"data", 0)), FAILURE);
    }
    assert_eq!(agent.fixture.tap.count(), 0);
    assert_eq!(agent.fixture.tries_left(), 3);
}

#[test]
fn flags_choose_the_hash_of_an_rsa_signature() {
    let agent = Fixture::new(&[KeyType::Rsa2048]).serve();
    let mut client = agent.client();
    for flags in [0, 1, 1 << 31, 1 << 31 | 2, 8] {
        assert_eq!(client.ask(&sign(agent.key(), b"data", flags)), FAILURE);
    }
    for (flags, algorithm) in [(2, "rsa-sha2-256"), (4, "rsa-sha2-512")] {
        let answer = client.ask(&sign(agent.key(), b"data", flags));
        assert_eq!(assert_signed(&answer, agent.key(), b"data"), algorithm);
    }
    agent.assert_idle();
}

/// As OpenSSH's own agent does, if the user allows it: libpam-ssh-agent-auth asks for no other.
#[test]
fn sha_1_is_refused_with_the_reason_or_made_if_allowed() {
    use rsa::pkcs1v15::{Signature, VerifyingKey};
    use signature::Verifier;

    let agent = Fixture::new(&[KeyType::Rsa2048]).serve();
    let request = sign(agent.key(), b"data", 0);
    assert_eq!(agent.client().ask(&request), FAILURE);
    let reason = "the client asks for an RSA signature with SHA-1 (ssh-rsa), which is made only \
                  with sha1 = true in the section [agent] of the configuration file";
    eventually(|| agent.log().contains(reason));

    let agent = Fixture::new(&[KeyType::Rsa2048]).sha1().serve();
    let mut client = agent.client();
    let answer = client.ask(&sign(agent.key(), b"data", 0));
    let mut reader = agent::protocol::fields(&answer);
    assert_eq!(reader.byte().unwrap(), 14, "{answer:?}");
    let mut blob = agent::protocol::fields(reader.string().unwrap());
    assert_eq!(blob.string().unwrap(), b"ssh-rsa");
    let signature = Signature::try_from(blob.string().unwrap()).unwrap();
    let key = ssh_key::PublicKey::from_bytes(agent.key()).unwrap();
    let key = rsa::RsaPublicKey::try_from(key.key_data().rsa().unwrap()).unwrap();
    let key = VerifyingKey::<sha1::Sha1>::new(key);
    key.verify(b"data", &signature).unwrap();
    for flags in [1, 1 << 31] {
        assert_eq!(client.ask(&sign(agent.key(), b"data", flags)), FAILURE);
    }
    let answer = client.ask(&sign(agent.key(), b"data", 4));
    assert_eq!(assert_signed(&answer, agent.key(), b"data"), "rsa-sha2-512");
}

#[test]
fn data_of_any_length_that_fits_is_signed() {
    let agent = Fixture::new(&[KeyType::EccP256, KeyType::EccP384]).serve();
    let mut client = agent.client();
    for key in &agent.fixture.keys {
        for data in [&b""[..], b"x", &vec![7; 250 * 1024]] {
            assert_signed(&client.ask(&sign(key, data, 0)), key, data);
        }
    }
}

/// A certificate for `key` that is valid up to `until`.
fn certificate(key: &[u8], until: u64) -> Vec<u8> {
    Host::new(9).certify(key, CertType::User, "anna", until)
}

#[test]
fn a_certificate_names_its_key() {
    let agent = Fixture::new(&[KeyType::EccP256]).serve();
    let mut client = agent.client();
    let own = certificate(agent.key(), 2);
    let answer = client.ask(&sign(&own, b"data", 0));
    assert_signed(&answer, agent.key(), b"data");
    let foreign = certificate(&Host::new(1).blob(), 2);
    assert_eq!(client.ask(&sign(&foreign, b"data", 0)), FAILURE);
}

/// As OpenSSH does, up to five minutes after they have expired: clocks differ.
#[test]
fn certificates_of_the_store_are_listed_until_they_have_expired() {
    let agent = Fixture::new(&[KeyType::EccP256; 2]).serve();
    let mut client = agent.client();
    let now = std::time::SystemTime::now();
    let now = now.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let mut store = Store::open(&agent.fixture.store()).unwrap();
    let token = store.find_token("t").unwrap();
    let objects = store.objects(token.id).unwrap();
    let second = objects
        .iter()
        .rfind(|object| object.key().is_some())
        .unwrap();
    let key = &agent.fixture.keys[1];
    let [valid, just, long] = [now + 60, now - 200, now - 400].map(|until| certificate(key, until));
    for certificate in [&valid, &just, &long, &certificate(agent.key(), now + 60)] {
        store
            .add_ssh_certificate(second.id, certificate, "")
            .unwrap();
    }
    assert_eq!(blobs(&mut client), [agent.key(), key, &valid, &just]);
    let answer = client.ask(&sign(&valid, b"data", 0));
    assert_signed(&answer, key, b"data");
}

/// `associated-certs-v00@openssh.com`: those that are for one of the keys.
#[test]
fn certificates_that_come_with_a_key_are_listed_with_it_or_instead_of_it() {
    let agent = Fixture::new(&[KeyType::EccP256; 2]).serve();
    let mut client = agent.client();
    let [first, second] = [agent.key(), &agent.fixture.keys[1]];
    let own = certificate(second, u64::from(u32::MAX));
    let foreign = certificate(&Host::new(1).blob(), u64::from(u32::MAX));
    let list = [testing::frame(&own), testing::frame(&foreign)].concat();
    let mut certs = |only: u8| {
        let mut constraint = testing::message(255, &[b"associated-certs-v00@openssh.com"]);
        constraint.push(only);
        constraint.extend(testing::frame(&list));
        crate::keys::add_constrained(&mut client, &constraint);
        blobs(&mut client)
    };
    assert_eq!(certs(0), [first, second, &own]);
    assert_eq!(certs(1), [first, &own], "a key without one stays");
}

#[test]
fn keys_that_are_removed_during_a_signature_are_gone_after_it() {
    let agent = Fixture::new(&[KeyType::EccP256]).serve();
    let tap = &agent.fixture.tap;
    tap.inject(
        When::Command(SIGN),
        Fault::Delay(std::time::Duration::from_millis(200)),
    );
    let (mut signer, mut remover) = (agent.client(), agent.client());
    signer.send_message(&sign(agent.key(), b"data", 0));
    eventually(|| tap.count() > 0);
    assert_eq!(remover.ask(REMOVE_ALL), [6]);
    assert_eq!(listed(&remover.ask(&[11])), []);
    let answer = signer.receive().unwrap();
    assert_matches!(answer[0], 5 | 14, "{answer:?}");
    assert_eq!(signer.ask(&sign(agent.key(), b"data", 0)), FAILURE);
    agent.assert_idle();
}

#[test]
fn a_client_may_go_in_the_middle_of_a_signature() {
    let agent = Fixture::new(&[KeyType::EccP256]).serve();
    let tap = &agent.fixture.tap;
    tap.inject(
        When::Command(SIGN),
        Fault::Delay(std::time::Duration::from_millis(100)),
    );
    let mut client = agent.client();
    client.send_message(&sign(agent.key(), b"data", 0));
    eventually(|| tap.count() > 0);
    drop(client);
    tap.clear_faults();
    let mut other = agent.client();
    assert_eq!(blobs(&mut other), agent.fixture.keys);
    let answer = other.ask(&sign(agent.key(), b"data", 0));
    assert_signed(&answer, agent.key(), b"data");
    agent.assert_idle();
}

#[test]
fn clients_that_come_at_once_open_a_token_once() {
    const LOAD: u32 = 0x157;
    let loads = |count| {
        let agent = Fixture::new(&[KeyType::EccP256]).serve();
        let tap = &agent.fixture.tap;
        tap.inject(
            When::Nth(0),
            Fault::Delay(std::time::Duration::from_millis(200)),
        );
        let mut clients: Vec<_> = (0..count).map(|_| agent.client()).collect();
        for client in &mut clients {
            client.send_message(&sign(agent.key(), b"data", 0));
        }
        for client in &mut clients {
            assert_signed(&client.receive().unwrap(), agent.key(), b"data");
        }
        let commands = tap.exchanges();
        commands.iter().filter(|one| one.code() == LOAD).count()
    };
    let once = loads(1);
    assert!(once > 0);
    assert_eq!(loads(8), once);
}

/// The log waits for a pause of the client, and does not wait for ever.
#[test]
fn the_log_has_what_a_client_does_without_a_pause() {
    const REQUESTS: usize = 37;
    let agent = Fixture::new(&[KeyType::EccP256]).serve();
    let mut client = agent.client();
    assert_eq!(blobs(&mut client), agent.fixture.keys);
    let names: Vec<_> = (0..REQUESTS).map(|i| format!("request {i}")).collect();
    for name in &names {
        let data = [b"SSHSIG", &testing::message(0, &[name.as_bytes()])[1..]].concat();
        client.send_message(&sign(agent.key(), &data, 0));
    }
    // Nothing is read meanwhile, and the client is still there at the end.
    eventually(|| agent.log().lines().count() == REQUESTS);
    let records = agent::audit::read(&agent.fixture.dir.path().join("log")).unwrap();
    for (record, name) in records.iter().zip(&names) {
        assert_eq!(record.purpose, Some(format!("to sign for \"{name}\"")));
    }
    for _ in &names {
        assert_eq!(client.receive().unwrap()[0], 14);
    }
}

#[test]
fn a_client_that_goes_while_it_waits_for_the_chip_costs_the_chip_nothing() {
    let agent = Fixture::new(&[KeyType::EccP256]).serve();
    let tap = &agent.fixture.tap;
    let signatures = || {
        let commands = tap.exchanges();
        commands.iter().filter(|one| one.code() == SIGN).count()
    };
    let mut first = agent.client();
    // From now on a signature is one turn with the chip.
    assert_signed(&first.ask(&sign(agent.key(), b"", 0)), agent.key(), b"");
    tap.reset();
    tap.inject(
        When::Command(SIGN),
        Fault::Delay(std::time::Duration::from_millis(300)),
    );
    first.send_message(&sign(agent.key(), b"first", 0));
    eventually(|| tap.count() > 0);
    let mut second = agent.client();
    second.send_message(&sign(agent.key(), b"second", 0));
    drop(second);
    let mut third = agent.client();
    third.send_message(&sign(agent.key(), b"third", 0));
    assert_signed(&first.receive().unwrap(), agent.key(), b"first");
    assert_signed(&third.receive().unwrap(), agent.key(), b"third");
    eventually(|| agent.log().lines().count() == 4);
    assert!(agent.log().contains("the client is gone"));
    assert_eq!(signatures(), 2);
    agent.assert_idle();
}

#[test]
fn what_was_done_with_keys_is_in_the_log() {
    let agent = Fixture::new(&[KeyType::EccP256]).serve();
    let mut client = agent.client();
    let data = testing::message(b'S', &[b"x"]);
    client.ask(&sign(agent.key(), &data, 0));
    client.ask(&sign(agent.key(), b"SSHSIG\0\0\0\x03git", 0));
    client.ask(REMOVE_ALL);
    eventually(|| agent.log().lines().count() == 3);
    let records = agent::audit::read(&agent.fixture.dir.path().join("log")).unwrap();
    let purposes: Vec<_> = records.iter().map(|record| &record.purpose).collect();
    assert_eq!(
        purposes,
        [
            &Some("to sign something unknown".into()),
            &Some("to sign for \"git\"".into()),
            &None
        ]
    );
    let signed = &records[0];
    let fingerprint = ssh_key::PublicKey::from_bytes(agent.key())
        .unwrap()
        .fingerprint(ssh_key::HashAlg::Sha256);
    assert_eq!(signed.key, Some(fingerprint.to_string()));
    assert_eq!(signed.label.as_deref(), Some("key 0"));
    assert_eq!((&*signed.event, &*signed.result), ("sign", "done"));
    assert_eq!(signed.pid, i32::try_from(std::process::id()).ok());
    assert!(!signed.programs.is_empty());
}
