//! Random paths of certificates: this crate, `openssl verify` and rustls-webpki agree which of them are good.

use std::{
    cell::RefCell,
    fs,
    process::{Command, Stdio},
    time::Duration,
};

use key_proof::{Anchors, Policy};
use proptest::{prelude::*, test_runner::TestRunner};

use crate::der::{Authority, Draft, authority, ek_usage, extension, maker, seq, tlv, usage};
use crate::pair::{Hash, Pair};
use crate::pem::pem;
use crate::software_tpm::{NOW, SoftwareTpm};

/// A fault of a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    Nothing,
    Expired,
    NotYetValid,
    NoAuthority,
    NoCertSign,
    /// An unknown critical extension.
    UnknownCritical,
    /// The signature is over something else.
    Changed,
    /// It names an issuer that does not exist.
    OtherIssuer,
    /// The certificate is missing.
    Missing,
}

#[derive(Debug, Clone, Copy)]
struct Link {
    key: u8,
    hash: Hash,
    path_len: Option<u8>,
    fault: Fault,
}

fn link() -> impl Strategy<Value = Link> {
    let hash = prop_oneof![Just(Hash::Sha256), Just(Hash::Sha384), Just(Hash::Sha512)];
    let fault = prop_oneof![
        12 => Just(Fault::Nothing),
        1 => Just(Fault::Expired),
        1 => Just(Fault::NotYetValid),
        1 => Just(Fault::NoAuthority),
        1 => Just(Fault::NoCertSign),
        1 => Just(Fault::UnknownCritical),
        1 => Just(Fault::Changed),
        1 => Just(Fault::OtherIssuer),
        1 => Just(Fault::Missing),
    ];
    let path_len = prop_oneof![3 => Just(None), 1 => Just(Some(0)), 1 => Just(Some(1))];
    (0_u8..3, hash, path_len, fault).prop_map(|(key, hash, path_len, fault)| Link {
        key,
        hash,
        path_len,
        fault,
    })
}

/// The key of a certificate. Each certificate of a path has another key.
fn key(kind: u8, level: usize) -> Pair {
    match kind {
        0 => Pair::p256(),
        1 => Pair::p384(),
        _ => Pair::rsa2048(level),
    }
}

fn draft(link: Link, name: &str, is_leaf: bool) -> Draft {
    let mut extensions = if is_leaf {
        vec![authority(false, None), ek_usage(), maker(), usage(0x08)]
    } else {
        let is_authority = link.fault != Fault::NoAuthority;
        let bits = if link.fault == Fault::NoCertSign {
            0x02
        } else {
            0x04
        };
        let path_len = link.path_len.filter(|_| is_authority);
        vec![authority(is_authority, path_len), usage(bits)]
    };
    if link.fault == Fault::UnknownCritical {
        extensions.push(extension(99, true, &seq(&[])));
    }
    let mut draft = Draft::new(name, extensions);
    draft.hash = link.hash;
    match link.fault {
        Fault::Expired => draft.not_after = tlv(0x17, b"250101000000Z"),
        Fault::NotYetValid => draft.not_before = tlv(0x17, b"480101000000Z"),
        _ => {}
    }
    draft
}

/// The issuer that signs a certificate with this fault.
fn issuer_for(issuer: &Authority, fault: Fault) -> Authority {
    let mut issuer = issuer.clone();
    match fault {
        Fault::OtherIssuer => issuer.name = "Somebody else".to_owned(),
        // The right name, and the signature of another key of the same kind.
        Fault::Changed => {
            issuer.key = match issuer.key {
                Pair::P384(_) => Pair::p384(),
                Pair::Rsa(_) => Pair::rsa2048(3),
                _ => Pair::p256(),
            };
        }
        _ => {}
    }
    issuer
}

/// Whether `openssl verify` accepts `leaf`, and its output.
fn openssl(leaf: &[u8], chain: &[Vec<u8>], root: &[u8]) -> (bool, String) {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, ders: &[Vec<u8>]| {
        let path = dir.path().join(name);
        let text: String = ders.iter().map(|der| pem(der, "\n")).collect();
        fs::write(&path, text).unwrap();
        path
    };
    let mut command = Command::new("openssl");
    command.args([
        "verify",
        "-no-CApath",
        "-no-CAstore",
        "-attime",
        &NOW.to_string(),
    ]);
    command.arg("-CAfile").arg(file("root", &[root.to_vec()]));
    if !chain.is_empty() {
        command.arg("-untrusted").arg(file("chain", chain));
    }
    command.arg(file("leaf", &[leaf.to_vec()]));
    let output = command
        .stdin(Stdio::null())
        .output()
        .expect("cannot start openssl (package openssl)");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.success(), said)
}

/// A path from the verifier's own certificate to that of a TPM.
#[derive(Debug, Clone)]
struct Path {
    root: Link,
    between: Vec<Link>,
    leaf: Link,
}

fn path() -> impl Strategy<Value = Path> {
    let links = (link(), proptest::collection::vec(link(), 0..=2), link());
    links.prop_map(|(root, between, leaf)| Path {
        // The verifier's own certificate is always there, and its signature is not checked.
        root: without(root, &[Fault::Missing, Fault::Changed, Fault::OtherIssuer]),
        between,
        // The certificate of a TPM is not an authority, so it cannot lack that, and it is always sent.
        leaf: without(
            leaf,
            &[Fault::Missing, Fault::NoAuthority, Fault::NoCertSign],
        ),
    })
}

fn without(link: Link, faults: &[Fault]) -> Link {
    let fault = match faults.contains(&link.fault) {
        true => Fault::Nothing,
        false => link.fault,
    };
    Link { fault, ..link }
}

/// The certificates of a path (DER), and the TPM with them.
struct Certificates {
    root: Vec<u8>,
    tpm: SoftwareTpm,
}

impl Certificates {
    fn of(path: &Path) -> Self {
        let root = Authority::with_key(&draft(path.root, "Root", false), key(path.root.key, 0));
        let mut tpm = SoftwareTpm::new();
        let mut issuer = root.clone();
        for (level, link) in path.between.iter().enumerate() {
            let draft = draft(*link, &format!("CA {level}"), false);
            let key = key(link.key, level + 1);
            issuer = issuer_for(&issuer, link.fault).below_with_key(&draft, key);
            if link.fault != Fault::Missing {
                tpm.chain.push(issuer.der.clone());
            }
        }
        let end = issuer_for(&issuer, path.leaf.fault);
        tpm.certificate = Some(end.certify(&draft(path.leaf, "TPM", true), &tpm.ek.key));
        let root = root.der;
        Self { root, tpm }
    }

    fn leaf(&self) -> &[u8] {
        self.tpm.certificate.as_deref().unwrap()
    }

    /// The result of this crate.
    fn checked(&self) -> Result<(), key_proof::Error> {
        let mut anchors = Anchors::new();
        anchors.add_file(&self.root)?;
        let mut policy = Policy::new(NOW);
        policy.anchors = Some(anchors);
        self.tpm.checked(&policy).map(drop)
    }
}

/// Compares this crate with `other`. `other` returns its result for a path, or `None` for paths that it does not support.
fn agree(cases: u32, mut other: impl FnMut(&Path, &Certificates) -> Option<Result<(), String>>) {
    let mut runner = TestRunner::new(ProptestConfig {
        cases,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let (mut good, mut bad) = (0, 0);
    let counted = RefCell::new((&mut other, &mut good, &mut bad));
    let agreed = runner.run(&path(), |path| {
        let certificates = Certificates::of(&path);
        let mut counted = counted.borrow_mut();
        let Some(theirs) = counted.0(&path, &certificates) else {
            return Ok(());
        };
        let ours = certificates.checked();
        prop_assert_eq!(ours.is_ok(), theirs.is_ok(), "{:?} {:?}", ours, theirs);
        match theirs {
            Ok(()) => *counted.1 += 1,
            Err(_) => *counted.2 += 1,
        }
        Ok(())
    });
    agreed.unwrap();
    assert!(good >= 10 && bad >= 10, "{good} good and {bad} bad ones");
}

#[test]
fn openssl_takes_and_refuses_the_same_paths() {
    agree(80, |_, certificates| {
        let (taken, said) = openssl(
            certificates.leaf(),
            &certificates.tpm.chain,
            &certificates.root,
        );
        Some(if taken { Ok(()) } else { Err(said) })
    });
}

/// Whether rustls-webpki accepts the path of an endorsement key.
fn webpki(certificates: &Certificates) -> Result<(), webpki::Error> {
    use rustls_pki_types::{CertificateDer, UnixTime};
    /// 2.23.133.8.1, without its tag and length.
    const EK_USAGE: &[u8] = &[0x67, 0x81, 5, 8, 1];
    let root = CertificateDer::from(&certificates.root[..]);
    let anchors = [webpki::anchor_from_trusted_cert(&root)?];
    let chain = certificates.tpm.chain.iter();
    let chain: Vec<_> = chain.map(|der| CertificateDer::from(&der[..])).collect();
    let leaf = CertificateDer::from(certificates.leaf());
    webpki::EndEntityCert::try_from(&leaf)?
        .verify_for_usage(
            webpki::ALL_VERIFICATION_ALGS,
            &anchors,
            &chain,
            UnixTime::since_unix_epoch(Duration::from_secs(NOW)),
            webpki::KeyUsage::required_if_present(EK_USAGE),
            None,
            None,
        )
        .map(drop)
}

/// Whether rustls-webpki makes the same checks for a path. It uses only the name and key of a trusted certificate, does not require keyCertSign, and
/// does not support ECDSA with SHA-512.
fn is_looked_at_by_webpki(path: &Path) -> bool {
    let is_plain_root = path.root.fault == Fault::Nothing && path.root.path_len.is_none();
    let signers = [path.root].into_iter().chain(path.between.iter().copied());
    let signed = path.between.iter().copied().chain([path.leaf]);
    let is_known = |(signer, signed): (Link, Link)| signer.key == 2 || signed.hash != Hash::Sha512;
    is_plain_root
        && signers.zip(signed).all(is_known)
        && path.between.iter().all(|it| it.fault != Fault::NoCertSign)
}

#[test]
fn webpki_takes_and_refuses_the_same_paths() {
    agree(200, |path, certificates| {
        is_looked_at_by_webpki(path).then(|| webpki(certificates).map_err(|err| format!("{err:?}")))
    });
}
