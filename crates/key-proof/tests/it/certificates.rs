//! V1: makers' certificates, ordinary and peculiar, and what none may be.

use key_proof::{Anchors, Check, Error, Maker, Mode, Name, Policy, PublicArea};

use crate::der::{
    Authority, Draft, ECDSA_SHA1, authority, critical_policies, ek_usage, extension, maker, seq,
    tlv, unsorted_maker, usage,
};
use crate::pair::{Hash, Pair};
use crate::software_tpm::{Ek, SoftwareTpm, any_tpm, check, ek_name, refused};

/// A maker's root, one authority below it, and a TPM that this one has certified.
struct Factory {
    root: Authority,
    between: Authority,
    tpm: SoftwareTpm,
}

fn leaf() -> Draft {
    Draft::new(
        "TPM",
        vec![authority(false, None), ek_usage(), maker(), usage(0x08)],
    )
}

fn between() -> Draft {
    Draft::new(
        "Maker CA 1",
        vec![authority(true, Some(0)), usage(0x04), critical_policies()],
    )
}

impl Factory {
    fn new() -> Self {
        Self::with(&between(), &leaf())
    }

    fn with(between: &Draft, leaf: &Draft) -> Self {
        let root = Authority::root("Maker root");
        let between = root.below(between);
        let mut tpm = SoftwareTpm::new();
        tpm.certificate = Some(between.certify(leaf, &tpm.ek.key));
        tpm.chain = vec![between.der.clone()];
        Self { root, between, tpm }
    }

    fn policy(&self) -> Policy {
        trusting(&[&self.root.der])
    }

    #[track_caller]
    fn refused(&self) -> &'static str {
        let (by, why) = refused(self.tpm.checked(&self.policy()));
        assert_eq!(by, Check::V1);
        why
    }
}

fn trusting(certificates: &[&[u8]]) -> Policy {
    let mut anchors = Anchors::new();
    for der in certificates {
        anchors.add_file(der).unwrap();
    }
    let mut policy = any_tpm();
    policy.any_tpm = false;
    policy.anchors = Some(anchors);
    policy
}

#[test]
fn a_tpm_with_a_makers_certificate_passes_and_is_named() {
    let factory = Factory::new();
    let mut policy = factory.policy();
    let verified = check(&factory.tpm.proof(), &policy).unwrap();
    assert_eq!(verified.mode, Mode::C);
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
    // The certificate between can be trusted by itself.
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

/// A key that the attacker has and that an authority certified for something else.
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
fn who_is_no_authority_certifies_nothing() {
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
    // Another endorsement key, as an authority.
    let mut factory = Factory::new();
    let chip = factory.between.below(&leaf());
    let key = factory.tpm.ek.key.clone();
    factory.tpm.certificate = Some(chip.certify(&leaf(), &key));
    factory.tpm.chain.push(chip.der);
    assert_eq!(factory.refused(), no_authority);
}

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
    // An authority that allows none below it.
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

#[test]
fn an_expired_certificate_is_refused_unless_that_does_not_matter() {
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
fn what_chips_do_to_their_certificates_is_undone() {
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

/// DER wants the parts of a SET sorted. Some makers do not sort them, and sign what they wrote.
#[test]
fn a_name_that_is_not_sorted_passes_as_it_was_signed() {
    let mut unsorted = Draft::new("TPM", vec![authority(false, None), ek_usage()]);
    unsorted.extensions.push(unsorted_maker());
    let factory = Factory::with(&between(), &unsorted);
    let checked = factory.tpm.checked(&factory.policy());
    checked.unwrap();
}

/// DER has one way to say TRUE, and both readers of X.509 that the chain of trust rests on ask for it.
#[test]
fn a_true_that_is_no_true_is_malformed() {
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

/// As in Infineon's certificates: the algorithm of the key is RSAES-OAEP.
#[test]
fn a_key_for_oaep_alone_passes() {
    let mut factory = Factory::new();
    factory.tpm.ek = Ek::Rsa2048.area();
    let plain = factory.tpm.ek.key.spki();
    let oaep = Pair::with_algorithm(&plain, &[6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 7]);
    for (spki, passes) in [
        (plain.clone(), true),
        (oaep, true),
        // RSASSA-PSS signs.
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
                // The same authority, and a key of the same kind that is another one's.
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

/// A maker renews its authority's certificate: the old one and the new one have one name and one key.
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
    // The same for those that are trusted.
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

/// A chip keeps the paths of all its keys in one place. What is counted is the path.
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

/// Certificates that have all signed each other: there are more paths than anybody wants to try.
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

/// As above by the anchors' numbers: 31 of the wrong key are looked at, and the right one is the last.
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
    // Those of old say nothing of what they may do.
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

#[test]
fn files_of_certificates_are_read_as_makers_publish_them() {
    let (one, two) = (Authority::root("One"), Authority::root("Two"));
    let pem = |der: &[u8]| {
        use base64ct::{Base64, Encoding};
        let text = Base64::encode_string(der);
        let lines: Vec<_> = text
            .as_bytes()
            .chunks(64)
            .map(String::from_utf8_lossy)
            .collect();
        format!(
            "-----BEGIN CERTIFICATE-----\r\n{}\r\n-----END CERTIFICATE-----\r\n",
            lines.join("\r\n")
        )
    };
    let mut anchors = Anchors::new();
    let file = format!("Some text.\n{}\nMore.\n{}", pem(&one.der), pem(&two.der));
    anchors.add_file(file.as_bytes()).unwrap();
    let subjects: Vec<_> = anchors.iter().map(|it| it.subject).collect();
    assert_eq!(subjects, ["CN=One", "CN=Two"]);
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

/// What is shown of a TPM is its Name, which nothing else has.
#[test]
fn the_name_is_that_of_the_whole_public_area() {
    let tpm = SoftwareTpm::new();
    let area = PublicArea::parse(&tpm.ek.bytes()).unwrap();
    assert_eq!(area.name().bytes(), tpm.ek.name());
    assert_eq!(Name::from_bytes(&tpm.ek.name()), Ok(area.name()));
}
