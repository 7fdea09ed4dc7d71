//! Ordinary paths of certificates at random: this crate and `openssl verify` agree which are good.

use std::{
    fs,
    process::{Command, Stdio},
};

use base64ct::{Base64, Encoding};
use key_proof::{Anchors, Policy};
use proptest::{prelude::*, test_runner::TestRunner};

use crate::der::{Authority, Draft, authority, ek_usage, extension, maker, seq, tlv, usage};
use crate::pair::{Hash, Pair};
use crate::software_tpm::{NOW, SoftwareTpm};

/// What may be wrong with a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    Nothing,
    Expired,
    NotYetValid,
    NoAuthority,
    NoCertSign,
    /// A critical extension that nobody knows.
    UnknownCritical,
    /// The signature is over something else.
    Changed,
    /// It names an issuer that is not there.
    OtherIssuer,
    /// It is not given.
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

/// The key of a link; no two links of a path have the same one.
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

/// `issuer` as a certificate with this fault has it.
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

fn pem(ders: &[Vec<u8>]) -> String {
    let one = |der: &Vec<u8>| {
        let text = Base64::encode_string(der);
        let lines: Vec<_> = text
            .as_bytes()
            .chunks(64)
            .map(String::from_utf8_lossy)
            .collect();
        format!(
            "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n",
            lines.join("\n")
        )
    };
    ders.iter().map(one).collect()
}

/// Whether `openssl verify` takes `leaf`, and what it says.
fn openssl(leaf: &[u8], chain: &[Vec<u8>], root: &[u8]) -> (bool, String) {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, ders: &[Vec<u8>]| {
        let path = dir.path().join(name);
        fs::write(&path, pem(ders)).unwrap();
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

#[test]
fn openssl_takes_and_refuses_the_same_paths() {
    let mut runner = TestRunner::new(ProptestConfig {
        cases: 80,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let strategy = (link(), proptest::collection::vec(link(), 0..=2), link());
    let (mut good, mut bad) = (0, 0);
    let counted = std::cell::RefCell::new((&mut good, &mut bad));
    runner
        .run(&strategy, |(root, between, leaf)| {
            // The verifier's own certificate is there, and as it was given.
            let root = match root.fault {
                Fault::Missing | Fault::Changed | Fault::OtherIssuer => Link {
                    fault: Fault::Nothing,
                    ..root
                },
                _ => root,
            };
            // What an end is not, it cannot lack; and it is always given.
            let leaf = match leaf.fault {
                Fault::Missing | Fault::NoAuthority | Fault::NoCertSign => Link {
                    fault: Fault::Nothing,
                    ..leaf
                },
                _ => leaf,
            };
            let top = Authority::with_key(&draft(root, "Root", false), key(root.key, 0));
            let (mut issuer, mut chain) = (top.clone(), Vec::new());
            for (level, link) in between.iter().enumerate() {
                let draft = draft(*link, &format!("CA {level}"), false);
                let key = key(link.key, level + 1);
                issuer = issuer_for(&issuer, link.fault).below_with_key(&draft, key);
                if link.fault != Fault::Missing {
                    chain.push(issuer.der.clone());
                }
            }
            let end = issuer_for(&issuer, leaf.fault);
            let mut tpm = SoftwareTpm::new();
            let end = end.certify(&draft(leaf, "TPM", true), &tpm.ek.key);
            tpm.certificate = Some(end.clone());
            tpm.chain.clone_from(&chain);
            let mut anchors = Anchors::new();
            let ours = anchors.add_file(&top.der).and_then(|()| {
                let mut policy = Policy::new(NOW);
                policy.anchors = Some(anchors);
                tpm.checked(&policy).map(drop)
            });
            let (theirs, said) = openssl(&end, &chain, &top.der);
            prop_assert_eq!(ours.is_ok(), theirs, "ours: {:?}; openssl: {}", ours, said);
            let mut counted = counted.borrow_mut();
            *(if theirs {
                &mut *counted.0
            } else {
                &mut *counted.1
            }) += 1;
            Ok(())
        })
        .unwrap();
    assert!(good >= 10 && bad >= 10, "{good} good and {bad} bad ones");
}
