//! Lists that were made by this crate or by `ssh-keygen`, also damaged ones.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use proptest::prelude::*;

use super::*;

fn run(dir: &Path, args: &[&str]) -> Output {
    let mut keygen = Command::new("ssh-keygen");
    keygen.args(args).current_dir(dir).output().unwrap()
}

fn keygen(dir: &Path, args: &[&str]) {
    let output = run(dir, args);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{args:?}: {text}");
}

/// An authority `ca`, another one `ca2`, keys `a`, `b` and `c`, each with a certificate of `ca`
/// with the serial numbers 1, 2 and 2^63, and one of `ca2` for `a` with the number 1.
fn made_by_keygen() -> tempfile::TempDir {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path();
    for name in ["ca", "ca2", "a", "b", "c"] {
        keygen(
            dir,
            &["-q", "-t", "ed25519", "-N", "", "-C", name, "-f", name],
        );
    }
    fs::copy(dir.join("a.pub"), dir.join("a2.pub")).unwrap();
    for (ca, name, serial) in [
        ("ca", "a", "1"),
        ("ca", "b", "2"),
        ("ca", "c", "9223372036854775808"),
        ("ca2", "a2", "1"),
    ] {
        let key = format!("{name}.pub");
        let id = format!("id of {name}");
        keygen(
            dir,
            &["-q", "-s", ca, "-I", &id, "-n", "anna", "-z", serial, &key],
        );
    }
    temp
}

fn key(dir: &Path, name: &str) -> AnyKey {
    let line = fs::read_to_string(dir.join(format!("{name}.pub"))).unwrap();
    AnyKey::from_line(&line).unwrap().0
}

fn certificate(dir: &Path, name: &str) -> Certificate {
    let line = fs::read_to_string(dir.join(format!("{name}-cert.pub"))).unwrap();
    Certificate::from_line(&line).unwrap().0
}

/// Which of the four certificates a list revokes, by this crate and by ssh-keygen.
fn revoked(dir: &Path, krl: &Krl) -> [bool; 4] {
    fs::write(dir.join("krl"), krl.to_bytes()).unwrap();
    ["a", "b", "c", "a2"].map(|name| {
        let ours = krl.revokes_certificate(&certificate(dir, name));
        let file = format!("{name}-cert.pub");
        let theirs = run(dir, &["-Q", "-f", "krl", &file]);
        let text = String::from_utf8_lossy(&theirs.stdout).into_owned();
        assert!(
            text.ends_with("REVOKED\n") || text.ends_with("ok\n"),
            "{theirs:?}"
        );
        assert_eq!(text.ends_with("REVOKED\n"), ours, "{text}");
        ours
    })
}

#[test]
fn ssh_keygen_sees_our_revocations_as_we_do() {
    let temp = made_by_keygen();
    let dir = temp.path();
    let ca = key(dir, "ca");
    let mut krl = Krl::new(7, 1_700_000_000, "a comment");
    assert!(krl.is_empty());
    assert_eq!(revoked(dir, &krl), [false; 4]);
    // Not in order, so that this crate has to sort them.
    krl.revoke_serial(&ca, 1 << 63).unwrap();
    krl.revoke_serial(&ca, 1).unwrap();
    assert_eq!(revoked(dir, &krl), [true, false, true, false]);
    krl.revoke_key_id(&ca, "id of b");
    assert_eq!(revoked(dir, &krl), [true, true, true, false]);
    let mut by_key = Krl::new(8, 0, "");
    by_key.revoke_key(&key(dir, "a"));
    assert_eq!(revoked(dir, &by_key), [true, false, false, true]);
    let mut authority = Krl::new(9, 0, "");
    authority.revoke_key(&ca);
    assert_eq!(revoked(dir, &authority), [true, true, true, false]);
    assert_eq!(
        krl.revoke_serial(&ca, 0).unwrap_err().to_string(),
        "a certificate without a serial number cannot be revoked by it"
    );
    let shown = run(dir, &["-Q", "-l", "-f", "krl"]);
    assert!(shown.status.success(), "{shown:?}");
}

#[test]
fn what_ssh_keygen_revokes_is_revoked() {
    let temp = made_by_keygen();
    let dir = temp.path();
    for (specification, expected) in [
        ("serial: 1\nserial: 2", [true, true, false, false]),
        ("serial: 2-9223372036854775809", [false, true, true, false]),
        // Close numbers with gaps: ssh-keygen makes a bitmap of them.
        (
            "serial: 1\nserial: 3\nserial: 5\nserial: 7\nserial: 9\nserial: 11\nserial: 13",
            [true, false, false, false],
        ),
        ("id: id of b", [false, true, false, false]),
    ] {
        fs::write(dir.join("spec"), format!("{specification}\n")).unwrap();
        keygen(dir, &["-q", "-k", "-f", "theirs", "-s", "ca.pub", "spec"]);
        let krl = Krl::from_bytes(&fs::read(dir.join("theirs")).unwrap()).unwrap();
        assert_eq!(revoked(dir, &krl), expected, "{specification}");
    }
    for hash in ["key", "sha1", "sha256"] {
        let line = fs::read_to_string(dir.join("a.pub")).unwrap();
        fs::write(dir.join("spec"), format!("{hash}: {line}")).unwrap();
        keygen(dir, &["-q", "-k", "-z", "42", "-f", "theirs", "spec"]);
        let krl = Krl::from_bytes(&fs::read(dir.join("theirs")).unwrap()).unwrap();
        assert_eq!(krl.number(), 42);
        assert_eq!(revoked(dir, &krl), [true, false, false, true], "{hash}");
    }
}

/// A list with entries in each section.
fn full() -> Krl {
    let line = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAINdamAGCsQq31Uv+08lkBzoO4XLz2qYjJa8CGmj3B1Ea";
    let (authority, _) = AnyKey::from_line(line).unwrap();
    let mut krl = Krl::new(3, 4, "comment");
    krl.revoke_serial(&authority, 5).unwrap();
    krl.revoke_key_id(&authority, "id");
    let of = krl.of(&authority);
    of.serials.insert(0, Serials::Range(7..=u64::MAX));
    of.serials.insert(
        1,
        Serials::Bitmap {
            offset: 100,
            bits: vec![0x80, 0x01],
        },
    );
    krl.revoke_key(&authority);
    krl.sha1.push([1; 20]);
    krl.sha256.push([2; 32]);
    krl
}

#[test]
fn a_list_reads_back() {
    let krl = full();
    assert_eq!(Krl::from_bytes(&krl.to_bytes()).unwrap(), krl);
    assert_eq!(
        (krl.number(), krl.generated(), krl.comment()),
        (3, 4, "comment")
    );
    let bitmap = &krl.certificates[0].serials[1];
    let set: Vec<u64> = (0..200).filter(|&serial| bitmap.have(serial)).collect();
    assert_eq!(set, [100, 115]);
    assert!(!Serials::Range(0..=9).have(0), "0 is no number");
}

#[test]
fn a_list_that_is_cut_is_refused_wherever_it_is_cut() {
    let bytes = full().to_bytes();
    // A list that is cut between two sections is valid, because there is no count and no end mark.
    let mut whole = 0;
    for len in 0..bytes.len() {
        match Krl::from_bytes(&bytes[..len]) {
            Ok(_) => whole += 1,
            Err(err) => assert_eq!(err.to_string(), "the revocation list is cut short", "{len}"),
        }
    }
    assert_eq!(whole, 4, "before each of the four sections");
}

#[test]
fn a_list_is_within_another_that_revokes_as_much() {
    let temp = made_by_keygen();
    let (ca, other_ca) = (key(temp.path(), "ca"), key(temp.path(), "ca2"));
    let serials = |all: &[std::ops::RangeInclusive<u64>]| {
        let mut krl = Krl::new(1, 0, "");
        for range in all {
            krl.of(&ca).serials.push(Serials::Range(range.clone()));
        }
        krl
    };
    let bitmap = |offset, bits: &[u8]| {
        let mut krl = Krl::new(1, 0, "");
        let bits = bits.to_vec();
        krl.of(&ca).serials.push(Serials::Bitmap { offset, bits });
        krl
    };
    let of_key = |edit: &dyn Fn(&mut Krl)| {
        let mut krl = Krl::new(1, 0, "");
        edit(&mut krl);
        krl
    };
    let empty = Krl::new(9, 0, "");
    let with_key = of_key(&|krl| krl.revoke_key(&ca));
    let with_sha1 = of_key(&|krl| krl.sha1.push(Sha1::digest(ca.blob()).into()));
    let with_sha256 = of_key(&|krl| krl.sha256.push(Sha256::digest(ca.blob()).into()));
    let other_key = of_key(&|krl| krl.revoke_key(&other_ca));
    let with_id = of_key(&|krl| krl.revoke_key_id(&ca, "anna"));
    let other_id = of_key(&|krl| krl.revoke_key_id(&ca, "bert"));
    let others_id = of_key(&|krl| krl.revoke_key_id(&other_ca, "anna"));
    let any_ca = {
        let mut krl = serials(&[1..=10]);
        krl.certificates[0].authority = None;
        krl
    };
    let all = serials(&[1..=u64::MAX]);
    for (small, large, within) in [
        (&empty, &empty, true),
        (&empty, &with_key, true),
        (&with_key, &empty, false),
        (&with_key, &with_sha1, true),
        (&with_key, &with_sha256, true),
        (&with_sha1, &with_key, true),
        (&with_sha256, &with_key, true),
        (&with_sha1, &with_sha256, false),
        (&with_key, &other_key, false),
        (&with_id, &with_id, true),
        (&with_id, &other_id, false),
        (&with_id, &others_id, false),
        (&serials(&[3..=9]), &serials(&[1..=4, 5..=6, 6..=12]), true),
        (&serials(&[3..=9]), &serials(&[1..=4, 6..=12]), false),
        (&serials(&[3..=9]), &serials(&[1..=8]), false),
        (&serials(&[0..=3]), &serials(&[1..=3]), true),
        (&serials(&[3..=9]), &any_ca, true),
        (&any_ca, &serials(&[1..=10]), false),
        (&all, &all, true),
        (&all, &serials(&[1..=u64::MAX - 1]), false),
        (&bitmap(8, &[0b101]), &serials(&[8..=8, 10..=10]), true),
        (&bitmap(8, &[0b111]), &serials(&[8..=8, 10..=10]), false),
        (&bitmap(8, &[1, 0]), &serials(&[16..=16]), true),
        (&serials(&[8..=10]), &bitmap(8, &[0b111]), true),
        (&serials(&[8..=11]), &bitmap(8, &[0b111]), false),
        (
            &bitmap(u64::MAX, &[1]),
            &serials(&[u64::MAX..=u64::MAX]),
            true,
        ),
    ] {
        assert_eq!(small.is_within(large), within, "{small:?} in {large:?}");
    }
}

#[test]
fn what_is_not_understood_is_refused() {
    let with = |section: u8, data: &[u8]| {
        let mut bytes = Krl::new(0, 0, "").to_bytes();
        bytes.push(section);
        crate::wire::put_string(&mut bytes, data);
        Krl::from_bytes(&bytes)
    };
    let text = |result: Result<Krl>| result.unwrap_err().to_string();
    let malformed = |why: &str| format!("the revocation list is malformed: {why}");
    assert_eq!(
        text(Krl::from_bytes(b"SSHKRL\n\x01")),
        malformed("it does not begin as one")
    );
    assert_eq!(
        text(with(99, b"")),
        malformed("it has a section that is not known here")
    );
    for critical in [0, 1] {
        let contents = [b"\0\0\0\x01x", &[critical][..], b"\0\0\0\0"].concat();
        assert_eq!(
            text(with(SECTION_EXTENSION, &contents)),
            malformed("it has an extension, and none is known here")
        );
    }
    assert_eq!(
        text(with(SECTION_SIGNATURE, b"")),
        malformed("it is signed, which OpenSSH has given up")
    );
    assert_eq!(
        text(with(SECTION_FINGERPRINT_SHA256, b"\0\0\0\x01x")),
        malformed("a fingerprint in it has the wrong length")
    );
    let certificates = |section: u8, data: &[u8]| {
        let mut contents = vec![0; 8]; // any authority, reserved
        contents.push(section);
        crate::wire::put_string(&mut contents, data);
        with(SECTION_CERTIFICATES, &contents)
    };
    let zero = malformed("the serial number 0 cannot be revoked");
    assert_eq!(text(certificates(CERT_SERIAL_LIST, &[0; 8])), zero);
    assert_eq!(text(certificates(CERT_SERIAL_RANGE, &[0; 16])), zero);
    let bitmap = |offset: u64, bits: &[u8]| {
        let mut data = offset.to_be_bytes().to_vec();
        crate::wire::put_string(&mut data, bits);
        certificates(CERT_SERIAL_BITMAP, &data)
    };
    bitmap(0, &[2]).unwrap();
    bitmap(u64::MAX, &[1]).unwrap();
    assert_eq!(text(bitmap(0, &[1])), zero);
    assert_eq!(
        text(bitmap(u64::MAX, &[2])),
        malformed("a bitmap goes beyond the serial numbers")
    );
    assert_eq!(
        text(bitmap(1, &[0x80])),
        malformed("a number in it is negative")
    );
    let newer = [&MAGIC.to_be_bytes()[..], &2_u32.to_be_bytes()].concat();
    assert_eq!(
        text(Krl::from_bytes(&newer)),
        malformed("its format is newer than what is known here")
    );
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
        let _ = Krl::from_bytes(&bytes);
    }

    #[test]
    fn a_changed_list_is_read_or_refused(at in 0..200_usize, byte: u8) {
        let mut bytes = full().to_bytes();
        let at = at % bytes.len();
        bytes[at] = byte;
        if let Ok(krl) = Krl::from_bytes(&bytes) {
            prop_assert_eq!(Krl::from_bytes(&krl.to_bytes()).is_ok(), true);
        }
    }
}
