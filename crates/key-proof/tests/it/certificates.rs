//! Check V1: makers' certificates that are accepted, also unusual ones, and certificates that are refused.

use key_proof::{Check, EkCertificate, EkRange, Error, Maker, Mode, Name, PublicArea};

use crate::der::{
    Authority, Draft, ECDSA_SHA1, authority, ek_usage, extension, maker, maker_of, seq, tlv,
    unsorted_maker, usage,
};
use crate::factory::{Factory, between, leaf, trusting};
use crate::pair::{Hash, Pair};
use crate::software_tpm::{Ek, SoftwareTpm, check, ek_name, refused};

#[test]
fn a_tpm_with_a_makers_certificate_passes_and_is_named() {
    let factory = Factory::new();
    let mut policy = factory.policy();
    let verified = check(&factory.tpm.proof(), &policy).unwrap();
    assert_eq!(verified.mode, Mode::C);
    let root = policy.anchors.as_ref().unwrap().iter().next().unwrap();
    assert_eq!(verified.trusted, Some(root.fingerprint));
    let Some(Maker {
        model,
        version,
        issuer,
        ..
    }) = &verified.maker
    else {
        panic!("no maker");
    };
    assert_eq!(
        (&**model, &**version, &**issuer),
        ("NPCT75x", "id:0702", "CN=Maker CA 1")
    );
    assert_eq!(verified.maker.unwrap().letters().as_deref(), Some("NTC"));
    policy.inventory = Some(vec![ek_name(&factory.tpm)]);
    assert_eq!(check(&factory.tpm.proof(), &policy).unwrap().mode, Mode::A);
}

#[test]
fn no_certificate_a_foreign_root_and_a_gap_are_refused() {
    let mut factory = Factory::new();
    let no_path = "no path leads from its certificate to a trusted one";
    let (by, why) = refused(
        factory
            .tpm
            .checked(&trusting(&[&Authority::root("Maker root").der])),
    );
    assert_eq!((by, why), (Check::V1, no_path));
    let chain = std::mem::take(&mut factory.tpm.chain);
    assert_eq!(factory.refused(), no_path);
    // The intermediate certificate can be trusted directly.
    factory
        .tpm
        .checked(&trusting(&[&factory.between.der]))
        .unwrap();
    factory.tpm.chain = chain;
    factory.tpm.certificate = None;
    assert_eq!(factory.refused(), "this TPM has no maker's certificate");
}

#[test]
fn the_certificate_of_another_chip_is_refused() {
    let mut factory = Factory::new();
    factory.tpm.certificate = Factory::new().tpm.certificate;
    assert_eq!(factory.refused(), "the certificate is that of another TPM");
}

/// The attacker has a key that the authority certified for another purpose.
#[test]
fn certificates_for_other_purposes_are_refused() {
    let web = extension(37, false, &seq(&[&[6, 8, 0x2b, 6, 1, 5, 5, 7, 3, 1]]));
    let not_for_ek = "the certificate is not one for an endorsement key";
    for (extensions, why) in [
        (vec![authority(false, None), web, maker()], not_for_ek),
        (vec![authority(false, None), maker()], not_for_ek),
        (
            vec![authority(true, None), ek_usage(), maker()],
            "the certificate is that of an authority and not of a TPM",
        ),
        (
            vec![authority(false, None), ek_usage()],
            "the certificate lacks the TPM's maker, model or version",
        ),
        (
            vec![ek_usage(), ek_usage(), maker()],
            "a certificate has an extension twice",
        ),
        (
            // Name constraints.
            vec![ek_usage(), maker(), extension(30, true, &seq(&[]))],
            "a certificate has a critical extension that is unknown",
        ),
    ] {
        let factory = Factory::with(&between(), &Draft::new("TPM", extensions));
        assert_eq!(factory.refused(), why);
    }
}

#[test]
fn only_an_authority_can_certify() {
    let no_authority = "a certificate is signed by one that is no authority's";
    for (extensions, why) in [
        (vec![authority(false, None)], no_authority),
        (vec![], no_authority),
        (
            vec![authority(true, None), usage(0x80)],
            "a certificate is signed by a key that may not do so",
        ),
        (
            vec![authority(true, None), extension(30, true, &seq(&[]))],
            "a certificate has a critical extension that is unknown",
        ),
    ] {
        let factory = Factory::with(&Draft::new("Maker CA 1", extensions), &leaf());
        assert_eq!(factory.refused(), why);
    }
    // Another endorsement key as the issuer.
    let mut factory = Factory::new();
    let chip = factory.between.below(&leaf());
    let key = factory.tpm.ek.key.clone();
    factory.tpm.certificate = Some(chip.certify(&leaf(), &key));
    factory.tpm.chain.push(chip.der);
    assert_eq!(factory.refused(), no_authority);
}

#[test]
fn an_expired_certificate_is_refused_unless_expiry_is_ignored() {
    let old = |draft: Draft| Draft {
        not_after: tlv(0x17, b"250101000000Z"),
        ..draft
    };
    for (middle, end) in [(between(), old(leaf())), (old(between()), leaf())] {
        let factory = Factory::with(&middle, &end);
        assert_eq!(factory.refused(), "a certificate has expired");
        let mut policy = factory.policy();
        policy.ignore_expiry = true;
        factory.tpm.checked(&policy).unwrap();
    }
    let factory = Factory::new();
    let mut policy = factory.policy();
    policy.now = 1_500_000_000;
    assert_eq!(
        refused(factory.tpm.checked(&policy)),
        (Check::V1, "a certificate is not valid yet")
    );
}

/// The validity includes its first and its last second (RFC 5280, section 4.1.2.5).
#[test]
fn a_certificate_is_valid_from_its_first_to_its_last_second() {
    let draft = Draft {
        not_before: tlv(0x17, b"240101000000Z"),
        not_after: tlv(0x17, b"250101000000Z"),
        ..leaf()
    };
    let factory = Factory::with(&between(), &draft);
    let (first, last) = (1_704_067_200, 1_735_689_600);
    let at = |now| {
        let mut policy = factory.policy();
        policy.now = now;
        factory.tpm.checked(&policy)
    };
    at(first).unwrap();
    at(last).unwrap();
    assert_eq!(refused(at(first - 1)).1, "a certificate is not valid yet");
    assert_eq!(refused(at(last + 1)).1, "a certificate has expired");
}

#[test]
fn weak_signatures_never_count_but_their_certificates_can_be_trusted() {
    let weak = Draft {
        algorithm: Some(ECDSA_SHA1.to_vec()),
        ..between()
    };
    let factory = Factory::with(&weak, &leaf());
    assert_eq!(
        factory.refused(),
        "no path leads from its certificate to a trusted one"
    );
    factory
        .tpm
        .checked(&trusting(&[&factory.between.der]))
        .unwrap();
}

#[test]
fn padding_and_wrapping_by_chips_are_removed() {
    let mut factory = Factory::new();
    let der = factory.tpm.certificate.clone().unwrap();
    for (name, stored) in [
        ("zeros after it", [&der[..], &[0; 300]].concat()),
        ("ones after it", [&der[..], &[0xff; 40]].concat()),
        ("in an OCTET STRING", tlv(4, &der)),
    ] {
        factory.tpm.certificate = Some(stored);
        factory.tpm.checked(&factory.policy()).expect(name);
    }
    for serial in [vec![0xff, 1], vec![1; 21], vec![0]] {
        let leaf = Draft { serial, ..leaf() };
        let factory = Factory::with(&between(), &leaf);
        factory.tpm.checked(&factory.policy()).unwrap();
    }
}

/// DER demands that the elements of a SET are sorted. Some makers do not sort them, and sign the unsorted bytes.
#[test]
fn a_name_that_is_not_sorted_passes_as_it_was_signed() {
    let mut unsorted = Draft::new("TPM", vec![authority(false, None), ek_usage()]);
    unsorted.extensions.push(unsorted_maker());
    let factory = Factory::with(&between(), &unsorted);
    let checked = factory.tpm.checked(&factory.policy());
    checked.unwrap();
}

/// DER has one encoding of TRUE, and both parsers of X.509 here demand it.
#[test]
fn another_byte_for_true_than_0xff_is_malformed() {
    let mut odd = leaf();
    let flag = [1, 1, 0xff];
    for extension in &mut odd.extensions {
        if let Some(at) = extension.windows(3).position(|it| it == flag) {
            extension[at + 2] = 1;
        }
    }
    let factory = Factory::with(&between(), &odd);
    let result = factory.tpm.checked(&factory.policy());
    assert!(matches!(
        result,
        Err(Error::Malformed {
            what: "certificate",
            ..
        })
    ));
}

/// In some of Infineon's certificates, the algorithm of the key is RSAES-OAEP.
#[test]
fn a_key_for_oaep_alone_passes() {
    let mut factory = Factory::new();
    factory.tpm.ek = Ek::Rsa2048.area();
    let plain = factory.tpm.ek.key.spki();
    let oaep = Pair::with_algorithm(&plain, &[6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 7]);
    for (spki, passes) in [
        (plain.clone(), true),
        (oaep, true),
        // RSASSA-PSS is for signatures.
        (
            Pair::with_algorithm(
                &plain,
                &[6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 10],
            ),
            false,
        ),
    ] {
        factory.tpm.certificate = Some(factory.between.certify_spki(&leaf(), &spki));
        let result = factory.tpm.checked(&factory.policy());
        if passes {
            result.unwrap();
        } else {
            assert_eq!(
                refused(result),
                (Check::V1, "the certificate is that of another TPM")
            );
        }
    }
}

/// Every endorsement key with the certificate of every kind of authority.
#[test]
fn each_kind_of_key_is_certified_by_each() {
    for kind in Ek::ALL {
        for key in [Pair::p256(), Pair::p384(), Pair::rsa2048(1)] {
            for hash in [Hash::Sha256, Hash::Sha384, Hash::Sha512] {
                let root = Authority::root("Maker root");
                let between = root.below_with_key(&between(), key.clone());
                let mut tpm = SoftwareTpm::new();
                tpm.ek = kind.area();
                let leaf = Draft { hash, ..leaf() };
                tpm.certificate = Some(between.certify(&leaf, &tpm.ek.key));
                tpm.chain = vec![between.der];
                tpm.checked(&trusting(&[&root.der])).unwrap();
                // The same authority, and another key of the same kind.
                tpm.ek.key = match kind {
                    Ek::Rsa2048 | Ek::Rsa2048High => Pair::rsa2048(2),
                    Ek::Rsa3072 => Pair::rsa3072(1),
                    Ek::P384 => Pair::p384(),
                    _ => Pair::p256(),
                };
                assert_eq!(
                    refused(tpm.checked(&trusting(&[&root.der]))),
                    (Check::V1, "the certificate is that of another TPM")
                );
            }
        }
    }
}

#[test]
fn no_change_of_a_byte_of_a_certificate_passes() {
    let mut factory = Factory::new();
    let policy = factory.policy();
    let der = factory.tpm.certificate.clone().unwrap();
    for at in 0..der.len() {
        let mut changed = der.clone();
        changed[at] ^= 1;
        factory.tpm.certificate = Some(changed);
        assert!(factory.tpm.checked(&policy).is_err(), "byte {at}");
    }
    factory.tpm.certificate = Some(der);
    let between = factory.tpm.chain[0].clone();
    for at in 0..between.len() {
        factory.tpm.chain[0][at] ^= 1;
        assert!(factory.tpm.checked(&policy).is_err(), "byte {at}");
        factory.tpm.chain[0].clone_from(&between);
    }
}

/// The Name of a TPM's endorsement key is unique, and is what people are shown.
#[test]
fn the_name_is_that_of_the_whole_public_area() {
    let tpm = SoftwareTpm::new();
    let area = PublicArea::parse(&tpm.ek.bytes()).unwrap();
    assert_eq!(area.bytes(), tpm.ek.bytes());
    assert_eq!(area.name().bytes(), tpm.ek.name());
    // Also in the Debug output, which people compare in logs and failed tests.
    assert_eq!(
        format!("{:?}", area.name()),
        format!("Name({})", area.name())
    );
    assert_eq!(Name::from_bytes(&tpm.ek.name()), Ok(area.name()));
}

#[test]
fn a_certificate_is_read_without_what_a_chip_puts_around_it_and_up_to_16_kib() {
    let factory = Factory::new();
    let der = factory.tpm.certificate.unwrap();
    let padded = |len: usize| [&der[..], &vec![0xff; len - der.len()]].concat();
    for stored in [der.clone(), tlv(4, &der), padded(16 * 1024)] {
        assert_eq!(EkCertificate::parse(&stored).unwrap().der(), der);
    }
    let refused = EkCertificate::parse(&padded(16 * 1024 + 1)).unwrap_err();
    assert_eq!(refused.to_string(), "malformed certificate: it is too long");
}

/// The number of a maker consists of ASCII letters (TCG Vendor ID Registry), padded with zeros or spaces.
#[test]
fn the_letters_of_a_maker_are_shown_if_they_are_letters() {
    for (number, letters) in [
        ("id:4E544300", Some("NTC")),
        ("id:414D4400", Some("AMD")),
        ("id:53544D20", Some("STM")),
        ("id:49424D00", Some("IBM")),
        ("id:00000000", None),
        ("id:4E1B4300", None),
        ("id:4E54437F", None),
        ("id:4E5443FF", None),
        ("id:4E544300A", None),
        ("id:", None),
        ("4E544300", None),
        ("NTC", None),
    ] {
        assert_eq!(Maker::letters_of(number).as_deref(), letters, "{number}");
    }
}

#[test]
fn a_model_is_a_short_text_without_control_characters() {
    let with = |model: &str| {
        let extensions = vec![authority(false, None), ek_usage(), maker_of(model)];
        let factory = Factory::with(&between(), &Draft::new("TPM", extensions));
        let certificate = EkCertificate::parse(&factory.tpm.certificate.unwrap()).unwrap();
        certificate.maker().map(|it| it.model)
    };
    for model in ["", "TPM 2.0", "é鍵", &"x".repeat(128)] {
        assert_eq!(with(model).as_deref(), Ok(model));
    }
    for model in [
        "a\u{1b}[2J",
        "a\n",
        "\u{9b}2J",
        &"x".repeat(129),
        &"é".repeat(65),
    ] {
        assert_eq!(
            refused(with(model)),
            (
                Check::V1,
                "the certificate lacks the TPM's maker, model or version"
            )
        );
    }
}

/// `from` in the key of a certificate, replaced by bytes of the same length.
fn with_bytes(spki: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let at = spki.windows(from.len()).position(|it| it == from).unwrap();
    [&spki[..at], to, &spki[at + from.len()..]].concat()
}

#[test]
fn a_key_of_which_one_part_is_another_is_that_of_another_tpm() {
    let (curve, rsa) = (Ek::P256.area(), Ek::Rsa2048.area());
    let (point, numbers) = (curve.key.spki(), rsa.key.spki());
    let modulus = rsa.key.modulus();
    let mut other = modulus.clone();
    other[100] ^= 1;
    for (ek, spki) in [
        // The algorithm, the curve, the exponent, the modulus.
        (&curve, with_bytes(&point, &[0x3d, 2, 1], &[0x3d, 2, 2])),
        (
            &curve,
            with_bytes(&point, &[0x3d, 3, 1, 7], &[0x3d, 3, 1, 6]),
        ),
        (
            &rsa,
            with_bytes(&numbers, &[2, 3, 1, 0, 1], &[2, 3, 1, 0, 3]),
        ),
        (&rsa, with_bytes(&numbers, &modulus, &other)),
    ] {
        let mut factory = Factory::new();
        factory.tpm.ek = ek.clone();
        factory.tpm.certificate = Some(factory.between.certify_spki(&leaf(), &spki));
        assert_eq!(factory.refused(), "the certificate is that of another TPM");
    }
}

/// An authority computes the Name of a machine's endorsement key from its certificate.
#[test]
fn the_name_of_an_endorsement_key_follows_from_its_certificate() {
    let maker = Authority::root("Maker");
    for kind in Ek::ALL {
        let area = kind.area();
        let range = match kind {
            Ek::Rsa2048High | Ek::P256High => EkRange::High,
            _ => EkRange::Low,
        };
        let der = maker.certify(&leaf(), &area.key);
        let certificate = EkCertificate::from_file(&der).unwrap();
        let found = certificate.public_area(range).unwrap();
        assert_eq!(found.bytes(), area.bytes(), "{kind:?}");
    }
    let no_template = maker.certify(&leaf(), &Pair::p521());
    let refused = EkCertificate::from_file(&no_template).unwrap();
    assert_eq!(
        refused.public_area(EkRange::Low).unwrap_err().to_string(),
        "malformed certificate: no template of the TCG's is for its key: RSA of 2048 or 3072 bits, or ECC on P-256 or P-384"
    );
}
