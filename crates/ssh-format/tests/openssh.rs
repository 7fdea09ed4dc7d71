//! What this crate encodes, read by the real `ssh-keygen`.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

use std::fs::{self, File};
use std::path::Path;
use std::process::Command;

use p256::ecdsa::signature::{SignatureEncoding, Signer};
use rand_core::OsRng;
use rsa::traits::PublicKeyParts;
use ssh_encoding::base64::{Base64, Encoding};
use ssh_format::{Curve, PublicKey, RsaHash, Signature};

const MESSAGE: &[u8] = b"signed outside, encoded here";
const NAMESPACE: &str = "test";

/// Checks that `ssh-keygen` shows the size, the fingerprint and the comment that
/// we encoded, and accepts the signature.
fn check(key: &PublicKey, kind: &str, sign: impl FnOnce(&[u8]) -> Signature) {
    let dir = tempfile::tempdir().unwrap();
    let line = key.authorized_keys_line("anna@laptop key");

    let public = dir.path().join("key.pub");
    fs::write(&public, format!("{line}\n")).unwrap();
    let shown = ssh_keygen(&["-l", "-f"], &public, None);
    let expected = format!(
        "{} {} anna@laptop key ({kind})\n",
        key.bits(),
        key.fingerprint()
    );
    assert_eq!(shown, expected);

    let message = dir.path().join("message");
    fs::write(&message, MESSAGE).unwrap();
    let signature = dir.path().join("message.sig");
    fs::write(&signature, sshsig(key, &sign(&to_be_signed()))).unwrap();
    let verdict = ssh_keygen(
        &["-Y", "check-novalidate", "-n", NAMESPACE, "-s"],
        &signature,
        Some(&message),
    );
    let expected = format!(
        "Good \"{NAMESPACE}\" signature with {kind} key {}\n",
        key.fingerprint()
    );
    assert_eq!(verdict, expected);
}

fn ssh_keygen(args: &[&str], file: &Path, stdin: Option<&Path>) -> String {
    let mut command = Command::new("ssh-keygen");
    command.args(args).arg(file);
    if let Some(path) = stdin {
        command.stdin(File::open(path).unwrap());
    }
    let output = command.output().expect("ssh-keygen runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "ssh-keygen {args:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

fn string(bytes: &[u8]) -> Vec<u8> {
    let len = u32::try_from(bytes.len()).unwrap();
    [&len.to_be_bytes(), bytes].concat()
}

/// OpenSSH's PROTOCOL.sshsig, section 2: the blob that is signed.
fn to_be_signed() -> Vec<u8> {
    use sha2::Digest;
    let hash = sha2::Sha512::digest(MESSAGE);
    let fields = [NAMESPACE.as_bytes(), b"", b"sha512", &hash].map(string);
    [b"SSHSIG".as_slice(), &fields.concat()].concat()
}

/// OpenSSH's PROTOCOL.sshsig, section 1: the armored file.
fn sshsig(key: &PublicKey, signature: &Signature) -> String {
    let fields = [
        key.blob(),
        NAMESPACE.as_bytes(),
        b"",
        b"sha512",
        signature.blob(),
    ]
    .map(string);
    let blob = [b"SSHSIG\0\0\0\x01".as_slice(), &fields.concat()].concat();
    let mut armored = String::from("-----BEGIN SSH SIGNATURE-----\n");
    for line in Base64::encode_string(&blob).as_bytes().chunks(70) {
        armored.push_str(std::str::from_utf8(line).unwrap());
        armored.push('\n');
    }
    armored + "-----END SSH SIGNATURE-----\n"
}

#[test]
fn p256_key_and_signature() {
    let secret = p256::ecdsa::SigningKey::random(&mut OsRng);
    let point = secret.verifying_key().to_encoded_point(false);
    let key = PublicKey::ecdsa(Curve::NistP256, point.x().unwrap(), point.y().unwrap()).unwrap();
    check(&key, "ECDSA", |data| {
        let signature: p256::ecdsa::Signature = secret.sign(data);
        let (r, s) = signature.split_bytes();
        Signature::ecdsa(Curve::NistP256, &r, &s).unwrap()
    });
}

#[test]
fn p384_key_and_signature() {
    let secret = p384::ecdsa::SigningKey::random(&mut OsRng);
    let point = secret.verifying_key().to_encoded_point(false);
    let key = PublicKey::ecdsa(Curve::NistP384, point.x().unwrap(), point.y().unwrap()).unwrap();
    check(&key, "ECDSA", |data| {
        let signature: p384::ecdsa::Signature = secret.sign(data);
        let (r, s) = signature.split_bytes();
        Signature::ecdsa(Curve::NistP384, &r, &s).unwrap()
    });
}

#[test]
fn p521_key_and_signature() {
    let secret = p521::ecdsa::SigningKey::random(&mut OsRng);
    let point = p521::ecdsa::VerifyingKey::from(&secret).to_encoded_point(false);
    let key = PublicKey::ecdsa(Curve::NistP521, point.x().unwrap(), point.y().unwrap()).unwrap();
    check(&key, "ECDSA", |data| {
        let signature: p521::ecdsa::Signature = secret.sign(data);
        let (r, s) = signature.split_bytes();
        Signature::ecdsa(Curve::NistP521, &r, &s).unwrap()
    });
}

#[test]
fn rsa_key_and_signatures_with_both_hashes() {
    let secret = rsa::RsaPrivateKey::new(&mut OsRng, 2048).unwrap();
    let key = PublicKey::rsa(&secret.n().to_bytes_be(), 65537).unwrap();
    check(&key, "RSA", |data| {
        let signer = rsa::pkcs1v15::SigningKey::<sha2::Sha256>::new(secret.clone());
        Signature::rsa(RsaHash::Sha256, &signer.sign(data).to_bytes()).unwrap()
    });
    check(&key, "RSA", |data| {
        let signer = rsa::pkcs1v15::SigningKey::<sha2::Sha512>::new(secret.clone());
        Signature::rsa(RsaHash::Sha512, &signer.sign(data).to_bytes()).unwrap()
    });
}
