//! The pair of ML-DSA-44 and Ed25519, in files that OpenSSH 10.6 made: the releases that the other
//! tests run with do not have it.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use ssh_format::{AnyKey, Certificate, Error, SshSig};
use testing::assert_matches;

const KEY: &str = include_str!("mldsa/key.pub");
/// Of [`MESSAGE`], in the namespace `test`.
const SIGNATURE: &str = include_str!("mldsa/message.sig");
const MESSAGE: &[u8] = b"signed by OpenSSH 10.6";
/// An Ed25519 host key, certified by the key of [`KEY`].
const BY_PAIR: &str = include_str!("mldsa/host-cert.pub");
/// The key of [`KEY`], certified by that Ed25519 key.
const OF_PAIR: &str = include_str!("mldsa/key-cert.pub");

fn key() -> AnyKey {
    AnyKey::from_line(KEY.trim_end()).unwrap().0
}

fn verified(signature: &SshSig, message: &[u8]) -> Result<(), Error> {
    let digest = signature.hash().of(message).unwrap();
    signature.verify("test", &digest)
}

#[test]
fn a_key_is_read_and_written_again() {
    let key = key();
    assert_eq!(key.algorithm(), "ssh-mldsa44-ed25519");
    assert_eq!(key.line("made by OpenSSH 10.6"), KEY.trim_end());
}

#[test]
fn a_key_of_another_length_is_refused() {
    let whole = key();
    // The name, then the length of the key in bytes, then the key.
    let (name, rest) = whole.blob().split_at(4 + "ssh-mldsa44-ed25519".len());
    for len in [0u32, 32, 1312, 1343] {
        let bytes = &rest[4..][..usize::try_from(len).unwrap()];
        let blob = [name, &len.to_be_bytes(), bytes].concat();
        let said = AnyKey::from_blob(&blob).unwrap_err().to_string();
        let why = format!("the public key is malformed: it has {len} bytes and not 1344");
        assert_eq!(said, why);
    }
}

#[test]
fn a_signature_is_good_for_its_message_only() {
    let signature = SshSig::from_armored(SIGNATURE).unwrap();
    verified(&signature, MESSAGE).unwrap();
    let err = verified(&signature, b"signed by OpenSSH 10.5").unwrap_err();
    assert_matches!(err, Error::BadSignature);
}

/// Neither half is enough.
#[test]
fn both_halves_of_a_certificates_signature_have_to_be_right() {
    let (certificate, _) = Certificate::from_line(BY_PAIR.trim_end()).unwrap();
    certificate.verify().unwrap();
    assert_eq!(certificate.authority(), &key());
    let blob = certificate.blob();
    // The last 64 bytes are Ed25519's, the 2,420 before ML-DSA's.
    for at in [
        blob.len() - 1,
        blob.len() - 64,
        blob.len() - 65,
        blob.len() - 64 - 2420,
    ] {
        let mut forged = blob.to_vec();
        forged[at] ^= 1;
        let forged = Certificate::from_blob(&forged).unwrap();
        assert!(forged.verify().is_err(), "byte {at} of {}", blob.len());
    }
}

#[test]
fn a_certificate_for_such_a_key_is_read() {
    let (certificate, _) = Certificate::from_line(OF_PAIR.trim_end()).unwrap();
    certificate.verify().unwrap();
    assert_eq!(certificate.key(), &key());
    assert_eq!(certificate.algorithm(), "ssh-mldsa44-ed25519-cert");
}
