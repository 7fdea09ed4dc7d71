//! Files of the real `ssh-keygen`, also changed ones.

use std::path::{Path, PathBuf};
use std::process::Command;

use proptest::prelude::*;

use super::*;
use crate::wire::{put_string, put_u32};

/// A new key of `ssh-keygen`, and the directory that is removed when the first part is dropped.
fn keygen(kind: &str, bits: &str, passphrase: &str) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("id");
    let made = Command::new("ssh-keygen")
        .args(["-q", "-t", kind, "-b", bits, "-N", passphrase, "-C"])
        .args(["anna at home", "-f"])
        .arg(&file)
        .status()
        .unwrap();
    assert!(made.success(), "{kind} {bits}");
    (dir, file)
}

fn text(file: &Path) -> Vec<u8> {
    std::fs::read(file).unwrap()
}

fn public(file: &Path) -> AnyKey {
    let line = std::fs::read_to_string(file.with_extension("pub")).unwrap();
    AnyKey::from_line(&line).unwrap().0
}

/// The decoded contents as a file again.
fn armor(bytes: &[u8]) -> Vec<u8> {
    let base64 = Base64::encode_string(bytes);
    let mut text = BEGIN.to_vec();
    for line in base64.as_bytes().chunks(70) {
        text.push(b'\n');
        text.extend_from_slice(line);
    }
    text.push(b'\n');
    text.extend_from_slice(END);
    text.push(b'\n');
    text
}

#[test]
fn keys_of_ssh_keygen_are_read_with_and_without_a_passphrase() {
    for (kind, bits) in [
        ("ecdsa", "256"),
        ("ecdsa", "384"),
        ("ecdsa", "521"),
        ("rsa", "2048"),
        ("rsa", "3072"),
    ] {
        for passphrase in ["", "correct horse"] {
            let (_dir, path) = keygen(kind, bits, passphrase);
            let file = PrivateKeyFile::parse(&text(&path)).unwrap();
            assert_eq!(file.public(), &public(&path), "{kind} {bits}");
            assert_eq!(file.is_encrypted(), !passphrase.is_empty());
            let comment = file
                .open(passphrase.as_bytes(), |numbers, comment| {
                    let found = match numbers {
                        PrivateNumbers::Rsa { n, p, q, .. } => {
                            assert_eq!(p.len() + q.len(), n.len());
                            n.len() * 8
                        }
                        PrivateNumbers::Ecdsa { curve, x, d, .. } => {
                            assert_eq!(x.len(), curve.field_size());
                            assert!(d.len() <= curve.field_size());
                            curve.bits()
                        }
                    };
                    assert_eq!(found.to_string(), bits);
                    comment.to_owned()
                })
                .unwrap();
            assert_eq!(comment, "anna at home");
        }
    }
}

#[test]
fn a_wrong_passphrase_is_told_from_damage() {
    let (_dir, path) = keygen("ecdsa", "256", "correct horse");
    let file = PrivateKeyFile::parse(&text(&path)).unwrap();
    for wrong in ["", "correct", "Correct horse"] {
        let opened = file.open(wrong.as_bytes(), |_, _| ());
        assert!(matches!(opened, Err(Error::WrongPassphrase)), "{wrong}");
    }
    assert_eq!(Error::WrongPassphrase.to_string(), "wrong passphrase");
}

#[test]
fn keys_of_other_types_show_their_public_half_alone() {
    let (_dir, path) = keygen("ed25519", "256", "");
    let file = PrivateKeyFile::parse(&text(&path)).unwrap();
    assert_eq!(file.public(), &public(&path));
    let opened = file.open(b"", |_, _| ());
    assert!(matches!(opened, Err(Error::UnknownAlgorithm(name)) if name == "ssh-ed25519"));
}

#[test]
fn another_cipher_is_named() {
    let (_dir, path) = keygen("ecdsa", "256", "");
    let changed = Command::new("ssh-keygen")
        .args([
            "-q",
            "-p",
            "-N",
            "secret",
            "-Z",
            "aes256-gcm@openssh.com",
            "-f",
        ])
        .arg(&path)
        .output()
        .unwrap();
    assert!(changed.status.success());
    let err = PrivateKeyFile::parse(&text(&path)).unwrap_err();
    assert_eq!(
        err.to_string(),
        "private keys encrypted with aes256-gcm@openssh.com cannot be read"
    );
}

/// Both names are known, but no program writes this combination.
#[test]
fn a_cipher_with_the_wrong_key_derivation_is_damage_and_not_an_unknown_cipher() {
    for (cipher, kdf, expected) in [
        (
            "aes256-ctr",
            "none",
            "the private key is malformed: its cipher and key derivation do not fit together",
        ),
        (
            "none",
            "bcrypt",
            "the private key is malformed: its cipher and key derivation do not fit together",
        ),
        (
            "aes128-cbc",
            "bcrypt",
            "private keys encrypted with aes128-cbc cannot be read",
        ),
    ] {
        let mut file = MAGIC.to_vec();
        put_string(&mut file, cipher.as_bytes());
        put_string(&mut file, kdf.as_bytes());
        put_string(&mut file, b"");
        let err = PrivateKeyFile::parse(&armor(&file)).unwrap_err();
        assert_eq!(err.to_string(), expected, "{cipher} {kdf}");
    }
}

/// The private half of one key with the public half of another.
#[test]
fn halves_of_two_keys_are_refused() {
    let (_one, one) = keygen("ecdsa", "256", "");
    let (_other, other) = keygen("ecdsa", "256", "");
    let (one, other) = (text(&one), text(&other));
    let (one, other) = (
        PrivateKeyFile::parse(&one).unwrap(),
        PrivateKeyFile::parse(&other).unwrap(),
    );
    let mut mixed = MAGIC.to_vec();
    put_string(&mut mixed, b"none");
    put_string(&mut mixed, b"none");
    put_string(&mut mixed, b"");
    put_u32(&mut mixed, 1);
    put_string(&mut mixed, one.public().blob());
    let (begin, end) = other.private;
    put_string(&mut mixed, &other.bytes.bytes()[begin..end]);
    let mixed = PrivateKeyFile::parse(&armor(&mixed)).unwrap();
    let opened = mixed.open(b"", |_, _| ());
    assert!(matches!(opened, Err(Error::HalvesDiffer)));
    assert_eq!(
        Error::HalvesDiffer.to_string(),
        "its public half belongs to another private one"
    );
}

#[test]
fn a_file_that_is_cut_anywhere_is_refused() {
    let (_dir, path) = keygen("ecdsa", "256", "");
    let whole = text(&path);
    let open = |text: &[u8]| PrivateKeyFile::parse(text).and_then(|file| file.open(b"", |_, _| ()));
    open(&whole).unwrap();
    let bytes = dearmor(&whole).unwrap();
    for len in 0..bytes.bytes().len() {
        assert!(open(&armor(&bytes.bytes()[..len])).is_err(), "{len} bytes");
    }
    for len in 0..whole.len() - 1 {
        assert!(open(&whole[..len]).is_err(), "{len} characters");
    }
    let mut more = bytes.bytes().to_vec();
    more.push(0);
    assert!(open(&armor(&more)).is_err());
}

/// After any change in the private half, either the file is refused or the numbers are still those
/// of the public half.
#[test]
fn no_changed_byte_makes_another_public_half() {
    let (_dir, path) = keygen("ecdsa", "256", "");
    let bytes = dearmor(&text(&path)).unwrap();
    let file = PrivateKeyFile::parse(&text(&path)).unwrap();
    let point = file.public().blob()[file.public().blob().len() - 64..].to_vec();
    for at in 0..bytes.bytes().len() {
        let mut changed = bytes.bytes().to_vec();
        changed[at] ^= 1;
        let Ok(file) = PrivateKeyFile::parse(&armor(&changed)) else {
            continue;
        };
        let _ = file.open(b"", |numbers, _| {
            if let PrivateNumbers::Ecdsa { x, y, .. } = numbers {
                assert_eq!([*x, *y].concat(), point, "byte {at}");
            }
        });
    }
}

#[test]
fn what_is_no_such_file_says_why() {
    let why = |text: &[u8]| PrivateKeyFile::parse(text).unwrap_err().to_string();
    assert_eq!(
        why(b"ssh-ed25519 AAAA"),
        "the private key is malformed: it does not begin as OpenSSH's do"
    );
    assert_eq!(
        why(BEGIN),
        "the private key is malformed: it does not end as OpenSSH's do"
    );
    let file = |body: &str| [BEGIN, body.as_bytes(), END].concat();
    assert_eq!(
        why(&file("\n*\n")),
        "the private key is malformed: its base64 part is damaged"
    );
    assert_eq!(
        why(&armor(b"openssh-key-v2\0")),
        "the private key is malformed: it is not of the form openssh-key-v1"
    );
    assert_eq!(
        why(&file(&"A".repeat(SecretBytes::MAX + 1))),
        "the private key is malformed: it is too long"
    );
}

#[test]
fn rounds_that_nobody_waits_for_are_refused() {
    for rounds in [0, MAX_ROUNDS + 1] {
        let mut bytes = MAGIC.to_vec();
        put_string(&mut bytes, b"aes256-ctr");
        put_string(&mut bytes, b"bcrypt");
        let mut options = Vec::new();
        put_string(&mut options, &[7; 16]);
        put_u32(&mut options, rounds);
        put_string(&mut bytes, &options);
        put_u32(&mut bytes, 1);
        let err = PrivateKeyFile::parse(&armor(&bytes)).unwrap_err();
        assert_eq!(
            err.to_string(),
            "the private key is malformed: its key derivation is out of bounds"
        );
    }
}

#[test]
fn nothing_secret_is_printed() {
    let (_dir, path) = keygen("ecdsa", "256", "");
    let file = PrivateKeyFile::parse(&text(&path)).unwrap();
    let printed = format!("{file:?}");
    assert!(
        printed.starts_with("PrivateKeyFile { public: ecdsa"),
        "{printed}"
    );
    assert!(printed.ends_with(".. }"), "{printed}");
    file.open(b"", |numbers, _| {
        assert_eq!(format!("{numbers:?}"), "PrivateNumbers::Ecdsa(…)");
    })
    .unwrap();
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes: Vec<u8>, private: Vec<u8>) {
        let _ = PrivateKeyFile::parse(&bytes);
        let _ = PrivateKeyFile::parse(&armor(&bytes));
        let mut file = MAGIC.to_vec();
        put_string(&mut file, b"none");
        put_string(&mut file, b"none");
        put_string(&mut file, b"");
        put_u32(&mut file, 1);
        put_string(&mut file, &bytes);
        put_string(&mut file, &private);
        if let Ok(file) = PrivateKeyFile::parse(&armor(&file)) {
            let _ = file.open(b"", |_, _| ());
        }
    }
}
