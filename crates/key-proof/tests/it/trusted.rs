//! Check V1: in which certificates a path may end, and how the path is found among several certificates.

use key_proof::{Anchors, Check, Error};

use crate::der::{Authority, Draft, authority, extension, seq, tlv, usage};
use crate::factory::{Factory, between, leaf, trusting};
use crate::pair::Pair;
use crate::pem::pem;
use crate::software_tpm::{SoftwareTpm, refused};

#[test]
fn a_path_that_is_too_long_is_refused() {
    let open = Draft::new("Maker CA", vec![authority(true, None), usage(0x04)]);
    let named = |name: &str| Draft {
        subject: name.to_owned(),
        ..open.clone()
    };
    let root = Authority::root("Maker root");
    let (mut authorities, mut tpm) = (vec![root], SoftwareTpm::new());
    for depth in 1..=4 {
        let next = authorities[depth - 1].below(&named(&format!("Maker CA {depth}")));
        tpm.chain.push(next.der.clone());
        tpm.certificate = Some(next.certify(&leaf(), &tpm.ek.key));
        authorities.push(next);
        let result = tpm.checked(&trusting(&[&authorities[0].der]));
        if depth <= 2 {
            result.unwrap();
        } else {
            assert_eq!(refused(result).0, Check::V1, "{depth}");
        }
    }
    // An authority that allows no authority below it.
    let root = Authority::root("Maker root");
    let first = root.below(&between());
    let second = first.below(&named("Maker CA 2"));
    let mut tpm = SoftwareTpm::new();
    tpm.certificate = Some(second.certify(&leaf(), &tpm.ek.key));
    tpm.chain = vec![second.der.clone(), first.der.clone()];
    assert_eq!(
        refused(tpm.checked(&trusting(&[&root.der]))),
        (Check::V1, "the path is longer than an authority allows")
    );
}

/// A maker renews its authority's certificate: the old and the new certificate have the same name and key.
#[test]
fn of_two_certificates_of_one_authority_a_good_one_is_enough() {
    let root = Authority::root("Maker root");
    let first = root.below(&between());
    let expired = Draft {
        not_after: tlv(0x17, b"250101000000Z"),
        ..between()
    };
    let no_authority = Draft::new("Maker CA 1", vec![authority(false, None)]);
    let mut tpm = SoftwareTpm::new();
    tpm.certificate = Some(first.certify(&leaf(), &tpm.ek.key));
    for (other, why) in [
        (expired, "a certificate has expired"),
        (
            no_authority,
            "a certificate is signed by one that is no authority's",
        ),
    ] {
        let other = root.certify(&other, &first.key);
        for chain in [
            vec![other.clone(), first.der.clone()],
            vec![first.der.clone(), other.clone()],
        ] {
            tpm.chain = chain;
            tpm.checked(&trusting(&[&root.der])).unwrap();
        }
        tpm.chain = vec![other.clone()];
        assert_eq!(
            refused(tpm.checked(&trusting(&[&root.der]))),
            (Check::V1, why)
        );
    }
    // The same for trusted certificates.
    tpm.chain = vec![first.der.clone()];
    let old = Draft {
        not_after: tlv(0x17, b"250101000000Z"),
        ..Draft::new("Maker root", vec![authority(true, None), usage(0x04)])
    };
    let old = root.certify(&old, &root.key);
    for anchors in [[&old[..], &root.der], [&root.der, &old[..]]] {
        tpm.checked(&trusting(&anchors)).unwrap();
    }
    assert_eq!(
        refused(tpm.checked(&trusting(&[&old]))),
        (Check::V1, "a certificate has expired")
    );
}

/// A chip stores the certificates of all its keys in one place. Only the length of the path is limited.
#[test]
fn certificates_beside_the_path_do_not_count() {
    let mut factory = Factory::new();
    let other = Authority::root("Another maker");
    while factory.tpm.chain.len() < 16 {
        let name = format!("Another maker's CA {}", factory.tpm.chain.len());
        let draft = Draft::new(&name, vec![authority(true, None), usage(0x04)]);
        factory.tpm.chain.insert(0, other.below(&draft).der);
    }
    factory.tpm.checked(&factory.policy()).unwrap();
    factory.tpm.chain.push(other.der);
    assert_eq!(factory.refused(), "there are too many certificates");
}

/// Certificates that have all signed each other make far too many paths to try.
#[test]
fn certificates_that_go_in_circles_end() {
    let same = Draft::new("Maker CA 1", vec![authority(true, None), usage(0x04)]);
    let one = Authority::with_key(&same, Pair::p256());
    let mut tpm = SoftwareTpm::new();
    tpm.certificate = Some(one.certify(&leaf(), &tpm.ek.key));
    tpm.chain = vec![one.der.clone()];
    let elsewhere = trusting(&[&Authority::root("Maker root").der]);
    let no_path = "no path leads from its certificate to a trusted one";
    assert_eq!(refused(tpm.checked(&elsewhere)), (Check::V1, no_path));
    for serial in 1..16 {
        let again = Draft {
            serial: vec![serial],
            ..same.clone()
        };
        tpm.chain.push(one.certify(&again, &one.key));
    }
    let (by, why) = refused(tpm.checked(&elsewhere));
    assert_eq!(
        (by, why),
        (Check::V1, "there are too many signatures to check")
    );
}

/// The limit of signatures allows ordinary lists of trusted certificates: 31 with the wrong key, and then the right one.
#[test]
fn the_number_of_signatures_is_that_of_ordinary_lists() {
    let mut factory = Factory::new();
    factory.tpm.chain.clear();
    let strangers: Vec<_> = (0..32).map(|_| Authority::root("Maker CA 1").der).collect();
    let with = |number: usize| {
        let mut all: Vec<&[u8]> = strangers[..number].iter().map(Vec::as_slice).collect();
        all.push(&factory.between.der);
        factory.tpm.checked(&trusting(&all))
    };
    with(31).unwrap();
    assert_eq!(
        refused(with(32)),
        (Check::V1, "there are too many signatures to check")
    );
}

#[test]
fn what_is_trusted_is_an_authority_that_may_sign_and_is_understood() {
    let name = "Maker root";
    for (extensions, why) in [
        (
            vec![authority(true, None), usage(0x02)],
            "a certificate is signed by a key that may not do so",
        ),
        (
            vec![authority(true, None), extension(30, true, &seq(&[]))],
            "a certificate has a critical extension that is unknown",
        ),
    ] {
        let root = Authority::with_key(&Draft::new(name, extensions), Pair::p256());
        let mut tpm = SoftwareTpm::new();
        tpm.certificate = Some(root.certify(&leaf(), &tpm.ek.key));
        assert_eq!(
            refused(tpm.checked(&trusting(&[&root.der]))),
            (Check::V1, why)
        );
    }
    // Old certificates (X.509 version 1) have no extensions.
    let root = Authority::with_key(&Draft::new(name, vec![]), Pair::p256());
    let mut tpm = SoftwareTpm::new();
    tpm.certificate = Some(root.certify(&leaf(), &tpm.ek.key));
    tpm.checked(&trusting(&[&root.der])).unwrap();
    let none = Draft::new("Maker CA", vec![authority(false, None)]);
    let result = Anchors::new().add_file(&root.certify(&none, &Pair::p256()));
    assert_eq!(
        refused(result),
        (
            Check::V1,
            "a certificate to be trusted is not that of an authority"
        )
    );
}

#[test]
fn an_rsa_authority_has_2048_bits_or_more() {
    for (key, passes) in [(Pair::weak_rsa(), false), (Pair::rsa2048(1), true)] {
        let draft = Draft::new("Maker root", vec![authority(true, None), usage(0x04)]);
        let root = Authority::with_key(&draft, key);
        let mut tpm = SoftwareTpm::new();
        tpm.certificate = Some(root.certify(&leaf(), &tpm.ek.key));
        let result = tpm.checked(&trusting(&[&root.der]));
        if passes {
            result.unwrap();
        } else {
            let no_path = "no path leads from its certificate to a trusted one";
            assert_eq!(refused(result), (Check::V1, no_path));
        }
    }
}

#[test]
fn files_of_certificates_are_read_as_makers_publish_them() {
    let (one, two) = (Authority::root("One"), Authority::root("Two"));
    let pem = |der: &[u8]| pem(der, "\r\n");
    let mut anchors = Anchors::new();
    let file = format!("Some text.\n{}\nMore.\n{}", pem(&one.der), pem(&two.der));
    anchors.add_file(file.as_bytes()).unwrap();
    let subjects: Vec<_> = anchors.iter().map(|it| it.subject).collect();
    assert_eq!(subjects, ["CN=One", "CN=Two"]);
    assert!(!anchors.is_empty());
    let mut odd = Anchors::new();
    assert!(odd.is_empty());
    odd.add_file(&Authority::root("T\u{1b}[2Jwo\u{9b}2J").der)
        .unwrap();
    let subjects: Vec<_> = odd.iter().map(|it| it.subject).collect();
    assert_eq!(subjects, ["CN=T\\1b[2Jwo2J"]);
    let malformed = |bytes: &[u8]| {
        let result = Anchors::new().add_file(bytes);
        assert!(matches!(result, Err(Error::Malformed { .. })), "{result:?}");
    };
    malformed(b"");
    malformed(b"-----BEGIN CERTIFICATE-----\nAAAA\n");
    malformed(b"-----BEGIN CERTIFICATE-----\n*\n-----END CERTIFICATE-----\n");
    malformed(&[0x30; 20_000]);
    let chip = one.below(&leaf());
    assert!(matches!(
        anchors.add_file(&chip.der),
        Err(Error::Refused { .. })
    ));
}
