//! Certificates that were made by this crate or by `ssh-keygen`, also damaged ones.

use std::process::Command;

use p256::ecdsa::SigningKey;
use p256::ecdsa::signature::Signer;
use proptest::prelude::*;
use rand_core::OsRng;

use super::*;
use crate::{Curve, PublicKey, Signature};

/// An authority with a key in software.
struct Authority(SigningKey);

impl Authority {
    fn new() -> Self {
        Self(SigningKey::random(&mut OsRng))
    }

    fn key(&self) -> AnyKey {
        let point = self.0.verifying_key().to_encoded_point(false);
        let (x, y) = (point.x().unwrap(), point.y().unwrap());
        (&PublicKey::ecdsa(Curve::NistP256, x, y).unwrap()).into()
    }

    fn sign(&self, request: &CertificateRequest) -> Result<Certificate> {
        let unsigned = request.unsigned(&[7; 32], &self.key())?;
        let signature: p256::ecdsa::Signature = self.0.sign(unsigned.bytes());
        let (r, s) = signature.split_bytes();
        unsigned.signed(&Signature::ecdsa(Curve::NistP256, &r, &s).unwrap())
    }
}

fn request() -> CertificateRequest {
    CertificateRequest {
        key: Authority::new().key(),
        serial: u64::MAX,
        kind: CertificateKind::User,
        key_id: "anna's laptop".to_owned(),
        principals: vec!["anna".to_owned(), "root".to_owned()],
        valid_after: 1_700_000_000,
        valid_before: 1_800_000_000,
        critical_options: vec![CertOption::with_value("force-command", "uptime")],
        extensions: vec![
            CertOption::flag("permit-pty"),
            CertOption::flag("permit-agent-forwarding"),
        ],
    }
}

#[test]
fn what_was_asked_for_is_what_it_says() {
    let authority = Authority::new();
    let request = request();
    let certificate = authority.sign(&request).unwrap();
    assert_eq!(
        certificate.algorithm(),
        "ecdsa-sha2-nistp256-cert-v01@openssh.com"
    );
    assert_eq!(*certificate.key(), request.key);
    assert_eq!(certificate.serial(), u64::MAX);
    assert_eq!(certificate.kind(), CertificateKind::User);
    assert_eq!(certificate.key_id(), "anna's laptop");
    assert_eq!(certificate.principals(), ["anna", "root"]);
    assert_eq!(certificate.valid_after(), 1_700_000_000);
    assert_eq!(certificate.valid_before(), 1_800_000_000);
    assert_eq!(certificate.critical_options()[0].value(), Some("uptime"));
    let names: Vec<&str> = certificate
        .extensions()
        .iter()
        .map(CertOption::name)
        .collect();
    assert_eq!(names, ["permit-agent-forwarding", "permit-pty"], "sorted");
    assert_eq!(*certificate.authority(), authority.key());
    certificate.verify().unwrap();
    certificate.check_critical_options().unwrap();

    let line = certificate.line("a comment");
    let (again, comment) = Certificate::from_line(&line).unwrap();
    assert_eq!((again, comment), (certificate, "a comment"));
}

#[test]
fn validity_has_an_end_and_a_beginning() {
    let authority = Authority::new();
    let certificate = authority.sign(&request()).unwrap();
    for (now, state) in [
        (0, CertificateState::NotYetValid),
        (1_699_999_999, CertificateState::NotYetValid),
        (1_700_000_000, CertificateState::Valid),
        (1_799_999_999, CertificateState::Valid),
        (1_800_000_000, CertificateState::Expired),
        (u64::MAX, CertificateState::Expired),
    ] {
        assert_eq!(certificate.state(now), state, "{now}");
    }
    // After 2106, where 32 bits end, and for ever.
    for valid_before in [1 << 33, u64::MAX] {
        let request = CertificateRequest {
            valid_before,
            ..request()
        };
        let certificate = authority.sign(&request).unwrap();
        assert_eq!(certificate.valid_before(), valid_before);
        assert_eq!(certificate.state(1 << 32), CertificateState::Valid);
    }
}

#[test]
fn what_openssh_would_refuse_or_take_for_anything_is_not_made() {
    let authority = Authority::new();
    let text = |request: CertificateRequest| authority.sign(&request).unwrap_err().to_string();
    let with = |principals: Vec<String>| CertificateRequest {
        principals,
        ..request()
    };
    assert_eq!(
        text(with(vec![])),
        "a certificate needs at least one principal"
    );
    assert_eq!(
        text(with(vec![String::new()])),
        "a certificate cannot have a principal that is empty, or has a comma or a line feed in it"
    );
    assert_eq!(
        text(with(vec!["a".to_owned(); 257])),
        "a certificate has at most 256 principals"
    );
    authority.sign(&with(vec!["a".to_owned(); 256])).unwrap();
    assert_eq!(
        text(CertificateRequest {
            valid_before: 5,
            valid_after: 5,
            ..request()
        }),
        "a certificate cannot end before it begins"
    );
    assert_eq!(
        text(CertificateRequest {
            key_id: String::new(),
            ..request()
        }),
        "a certificate needs a key id"
    );
    let twice = vec![CertOption::flag("permit-pty"); 2];
    assert_eq!(
        text(CertificateRequest {
            extensions: twice,
            ..request()
        }),
        "a certificate has each option only once"
    );
    for (critical, extension) in [
        (CertOption::flag("force-command"), None),
        (CertOption::with_value("verify-required", "x"), None),
        (
            CertOption::with_value("force-command", "true"),
            Some(CertOption::with_value("permit-pty", "data")),
        ),
    ] {
        assert_eq!(
            text(CertificateRequest {
                critical_options: vec![critical],
                extensions: extension.into_iter().collect(),
                ..request()
            }),
            "a certificate has options of OpenSSH only with what OpenSSH expects in them"
        );
    }
}

#[test]
fn another_authoritys_signature_is_refused() {
    let (authority, other) = (Authority::new(), Authority::new());
    let unsigned = request().unsigned(&[7; 32], &authority.key()).unwrap();
    let signature: p256::ecdsa::Signature = other.0.sign(unsigned.bytes());
    let (r, s) = signature.split_bytes();
    let signature = Signature::ecdsa(Curve::NistP256, &r, &s).unwrap();
    assert_eq!(
        unsigned.signed(&signature).unwrap_err().to_string(),
        "the signature does not match"
    );
}

#[test]
fn every_changed_byte_shows() {
    let certificate = Authority::new().sign(&request()).unwrap();
    for at in 0..certificate.blob().len() {
        let mut blob = certificate.blob().to_vec();
        blob[at] ^= 0x10;
        let believed = Certificate::from_blob(&blob).is_ok_and(|read| read.verify().is_ok());
        assert!(!believed, "byte {at}");
    }
}

#[test]
fn a_cut_certificate_is_refused_wherever_it_is_cut() {
    let certificate = Authority::new().sign(&request()).unwrap();
    for len in 0..certificate.blob().len() {
        let err = Certificate::from_blob(&certificate.blob()[..len]).unwrap_err();
        assert_eq!(err.to_string(), "the certificate is cut short", "{len}");
    }
    let longer = [certificate.blob(), b"\0"].concat();
    assert_eq!(
        Certificate::from_blob(&longer).unwrap_err().to_string(),
        "the certificate is malformed: it goes on after its end"
    );
}

/// Certificates that this crate would not make, because it checks requests.
fn made_by_hand(principals: &[u8], critical: &[u8]) -> Vec<u8> {
    use crate::wire::{put_u32, put_u64};
    let mut out = Vec::new();
    for field in [&b"ssh-ed25519-cert-v01@openssh.com"[..], b"nonce", &[1; 32]] {
        put_string(&mut out, field);
    }
    put_u64(&mut out, 0);
    put_u32(&mut out, 1);
    put_string(&mut out, b"id");
    put_string(&mut out, principals);
    put_u64(&mut out, u64::MAX);
    put_u64(&mut out, 0);
    put_string(&mut out, critical);
    put_string(&mut out, b"");
    put_string(&mut out, b"");
    put_string(&mut out, Authority::new().key().blob());
    put_string(&mut out, b"no signature");
    out
}

#[test]
fn sixty_five_thousand_principals_are_refused() {
    let mut principals = Vec::new();
    for n in 0..65_000 {
        put_string(&mut principals, format!("u{n}").as_bytes());
    }
    let err = Certificate::from_blob(&made_by_hand(&principals, b"")).unwrap_err();
    assert_eq!(
        err.to_string(),
        "the certificate is malformed: it has more than 256 principals"
    );
}

#[test]
fn one_that_ends_before_it_begins_is_never_valid() {
    let certificate = Certificate::from_blob(&made_by_hand(b"", b"")).unwrap();
    assert!(certificate.principals().is_empty());
    for now in [0, 1, u64::MAX] {
        assert_eq!(certificate.state(now), CertificateState::Expired);
    }
    assert_eq!(
        certificate.verify().unwrap_err().to_string(),
        "the signature is cut short"
    );
}

#[test]
fn an_unknown_critical_option_is_named() {
    let mut options = Vec::new();
    put_string(&mut options, b"only-on-sundays@example.org");
    put_string(&mut options, b"\xff\xfe not a string");
    let certificate = Certificate::from_blob(&made_by_hand(b"", &options)).unwrap();
    assert_eq!(certificate.critical_options()[0].value(), None);
    assert_eq!(
        certificate
            .check_critical_options()
            .unwrap_err()
            .to_string(),
        "the certificate has the critical option only-on-sundays@example.org, which is not known"
    );
    options.extend(options.clone());
    assert_eq!(
        Certificate::from_blob(&made_by_hand(b"", &options))
            .unwrap_err()
            .to_string(),
        "the certificate is malformed: it has an option twice"
    );
}

#[test]
fn a_type_that_is_not_known_is_named() {
    let mut blob = Vec::new();
    put_string(&mut blob, b"ssh-mldsa-65-cert-v01@openssh.com");
    assert_eq!(
        Certificate::from_blob(&blob).unwrap_err().to_string(),
        "certificates of type ssh-mldsa-65-cert-v01@openssh.com cannot be read"
    );
    let certificate = Authority::new().sign(&request()).unwrap();
    assert_eq!(
        AnyKey::from_blob(certificate.blob())
            .unwrap_err()
            .to_string(),
        "it is a certificate and not a key"
    );
}

/// `ssh-keygen` certifies keys of each type that it makes, and this crate reads and verifies them.
#[test]
fn what_ssh_keygen_makes_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let keygen = |args: &[&str]| {
        let output = Command::new("ssh-keygen")
            .args(args)
            .current_dir(dir.path())
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{text}");
    };
    for (name, bits) in [("ed25519", "256"), ("ecdsa", "384"), ("rsa", "2048")] {
        keygen(&["-q", "-t", name, "-b", bits, "-N", "", "-f", name]);
        // By default without an end, which is a time of 2^64 - 1.
        keygen(&[
            "-q",
            "-s",
            name,
            "-I",
            "an id",
            "-n",
            "a,b",
            "-z",
            "18446744073709551615",
            name,
        ]);
        let line = std::fs::read_to_string(dir.path().join(format!("{name}-cert.pub"))).unwrap();
        let (certificate, _) = Certificate::from_line(&line).unwrap();
        certificate
            .verify()
            .unwrap_or_else(|err| panic!("{name}: {err}"));
        assert_eq!(certificate.serial(), u64::MAX);
        assert_eq!(certificate.valid_before(), u64::MAX);
        assert_eq!(certificate.principals(), ["a", "b"]);
        assert_eq!(certificate.extensions().len(), 5);
        let public = std::fs::read_to_string(dir.path().join(format!("{name}.pub"))).unwrap();
        assert_eq!(*certificate.key(), AnyKey::from_line(&public).unwrap().0);
    }
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(blob: Vec<u8>) {
        let _ = Certificate::from_blob(&blob);
    }

    #[test]
    fn any_fields_are_read_or_refused(principals: Vec<u8>, critical: Vec<u8>) {
        if let Ok(certificate) = Certificate::from_blob(&made_by_hand(&principals, &critical)) {
            let _ = certificate.check_critical_options();
            prop_assert!(certificate.verify().is_err());
        }
    }
}
