//! Signatures.

use ssh_key::certificate::{Builder, CertType};
use testing::{Fault, When};
use tpm_core::KeyType;

use crate::host::Host;
use crate::served::{
    FAILURE, Fixture, REMOVE_ALL, SIGN, assert_signed, blobs, eventually, listed, sign,
};

/// A11.
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

/// A12.
#[test]
fn flags_choose_the_hash_of_an_rsa_signature_and_never_sha_1() {
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

/// A13.
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

/// A14.
#[test]
fn a_certificate_names_its_key() {
    let agent = Fixture::new(&[KeyType::EccP256]).serve();
    let mut client = agent.client();
    let certificate = |key: &[u8]| {
        let key = ssh_key::PublicKey::from_bytes(key).unwrap();
        let mut builder = Builder::new([7; 32], key.key_data().clone(), 1, 2).unwrap();
        builder.cert_type(CertType::User).unwrap();
        builder.valid_principal("anna").unwrap();
        builder.sign(&Host::new(9)).unwrap().to_bytes().unwrap()
    };
    let answer = client.ask(&sign(&certificate(agent.key()), b"data", 0));
    assert_signed(&answer, agent.key(), b"data");
    let foreign = certificate(&Host::new(1).blob());
    assert_eq!(client.ask(&sign(&foreign, b"data", 0)), FAILURE);
}

/// A28.
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
    assert!(matches!(answer[0], 5 | 14), "{answer:?}");
    assert_eq!(signer.ask(&sign(agent.key(), b"data", 0)), FAILURE);
    agent.assert_idle();
}

/// A29.
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
