//! Keys of every kind in every role: which are accepted, and which are refused.

use key_proof::{Check, Error, Kind, Wall, WallClaim};

use crate::pair::{Hash, Pair, sized};
use crate::software_tpm::{
    Area, Ek, GUARD, SO, SoftwareTpm, any_tpm, check, ek_name, policy, refused,
};

fn passes(tpm: &SoftwareTpm) {
    let verified = check(&tpm.proof(), &any_tpm()).unwrap();
    assert_eq!(verified.ek_name, ek_name(tpm));
}

fn with(change: impl FnOnce(&mut SoftwareTpm)) -> SoftwareTpm {
    let mut tpm = SoftwareTpm::new();
    change(&mut tpm);
    tpm
}

#[track_caller]
fn refuses(check: Check, why: &str, tpm: &SoftwareTpm) {
    assert_eq!(refused(tpm.checked(&any_tpm())), (check, why));
}

#[test]
fn every_endorsement_key_of_the_profile_passes_behind_every_wall() {
    for kind in Ek::ALL {
        for wall in [Wall::Counter, Wall::Lockout, Wall::None] {
            let mut tpm = with(|it| it.ek = kind.area());
            match wall {
                Wall::Lockout => tpm.behind_lockout(),
                Wall::None => tpm.behind_nothing(),
                _ => {}
            }
            let verified = check(&tpm.proof(), &any_tpm()).unwrap();
            assert_eq!(verified.wall, wall, "{kind:?}");
        }
    }
}

#[test]
fn v2_no_endorsement_key_passes_with_another_attribute_policy_hash_or_cipher() {
    let no_template = "the endorsement key is of no template of the TCG's";
    for kind in Ek::ALL {
        for bit in 0..32 {
            let tpm = with(|it| {
                it.ek = kind.area();
                it.ek.attributes ^= 1 << bit;
            });
            refuses(Check::V2, no_template, &tpm);
        }
        let changes: [fn(&mut Area); 5] = [
            |ek| ek.policy[0] ^= 1,
            |ek| ek.policy.clear(),
            |ek| ek.symmetric[3] ^= 0x80,
            |ek| ek.symmetric = vec![0, 0x10],
            |ek| {
                ek.hash = match ek.hash {
                    Hash::Sha256 => Hash::Sha384,
                    _ => Hash::Sha256,
                }
            },
        ];
        for change in changes {
            let tpm = with(|it| {
                it.ek = kind.area();
                change(&mut it.ek);
            });
            refuses(Check::V2, no_template, &tpm);
        }
        // With a scheme, the key could do more than decrypt.
        let tpm = with(|it| {
            it.ek = kind.area();
            it.ek.scheme = match it.ek.key.is_rsa() {
                true => vec![0, 0x14, 0, 0x0b],
                false => vec![0, 0x18, 0, 0x0b],
            };
        });
        refuses(Check::V2, no_template, &tpm);
    }
    // The sizes of one template with the rest of another.
    for (kind, key) in [
        (Ek::Rsa2048, Pair::rsa3072(0)),
        (Ek::Rsa3072, Pair::rsa2048(0)),
        (Ek::P256, Pair::p384()),
        (Ek::P384, Pair::p256()),
        (Ek::P384, Pair::p521()),
    ] {
        let mut ek = kind.area();
        ek.key = key;
        refuses(Check::V2, no_template, &with(|it| it.ek = ek));
    }
    let mut low = Ek::Rsa2048.area();
    low.policy = Ek::Rsa2048High.area().policy;
    refuses(Check::V2, no_template, &with(|it| it.ek = low));
}

/// The templates have the exponent 65537, for which a TPM writes 0.
#[test]
fn v2_an_rsa_endorsement_key_has_the_exponent_of_its_template() {
    let tpm = SoftwareTpm::new();
    for (kind, len) in [
        (Ek::Rsa2048, 256),
        (Ek::Rsa2048High, 256),
        (Ek::Rsa3072, 384),
    ] {
        for (e, passes) in [(0_u32, true), (65537, true), (3, false), (65539, false)] {
            let mut request = tpm.request();
            request.ek = kind.area().bytes();
            // Before the modulus with its length.
            let at = request.ek.len() - len - 2 - 4;
            request.ek[at..at + 4].copy_from_slice(&e.to_be_bytes());
            let result = key_proof::check_request(&request, &any_tpm());
            match passes {
                true => drop(result.unwrap()),
                false => assert_eq!(refused(result).0, Check::V2, "{kind:?} {e}"),
            }
        }
    }
}

#[test]
fn v4_an_attestation_key_is_on_p256_or_has_2048_bits() {
    passes(&SoftwareTpm::new().with_rsa_attestation_key());
    let neither = "the attestation key is neither ECDSA on P-256 nor RSASSA with 2048 bits";
    for key in [Pair::p384(), Pair::p521(), Pair::rsa2048(1)] {
        refuses(Check::V4, neither, &with(|it| it.ak.key = key));
    }
    let mut tpm = SoftwareTpm::new().with_rsa_attestation_key();
    tpm.ak.key = Pair::rsa3072(1);
    refuses(Check::V4, neither, &tpm);
    tpm.ak.key = Pair::p256();
    refuses(Check::V4, neither, &tpm);
    let mut tpm = SoftwareTpm::new().with_rsa_attestation_key();
    tpm.ak.scheme = vec![0, 0x14, 0, 0x0c];
    refuses(Check::V4, neither, &tpm);
    let other = "the attestation key has another policy, cipher or hash";
    refuses(Check::V4, other, &with(|it| it.ak.hash = Hash::Sha384));
    let cipher = vec![0, 6, 0, 128, 0, 0x43];
    refuses(Check::V4, other, &with(|it| it.ak.symmetric = cipher));
    refuses(Check::V4, other, &with(|it| it.ak.policy = vec![1; 32]));
    refuses(
        Check::V4,
        "the attestation key signs anything, and not only what the TPM says",
        &with(|it| it.ak.attributes ^= 1 << 16),
    );
    refuses(
        Check::V4,
        "the attributes of the attestation key are not those of one",
        &with(|it| it.ak.attributes ^= 1 << 17),
    );
}

#[test]
fn v5_keys_of_every_kind_of_ssh_pass_and_no_others() {
    for key in [
        Pair::p256(),
        Pair::p384(),
        Pair::p521(),
        Pair::rsa2048(2),
        Pair::rsa3072(1),
    ] {
        passes(&with(|it| it.key.key = key));
    }
    // An RSA key of tpmssh may also decrypt. An ECC key may not be used for key agreement.
    let decrypts = |key| {
        with(|it| {
            it.key.key = key;
            it.key.attributes |= 1 << 17;
        })
    };
    passes(&decrypts(Pair::rsa2048(2)));
    let attributes = "the attributes of the key are not those of a key that signs for SSH";
    refuses(Check::V5, attributes, &decrypts(Pair::p256()));
    let mut tpm = decrypts(Pair::rsa2048(2));
    tpm.key.attributes ^= 1 << 16;
    refuses(Check::V5, attributes, &tpm);
    tpm.key.attributes ^= 1 << 16 | 1 << 18;
    refuses(Check::V5, attributes, &tpm);
    let other = "the key has another policy, scheme or hash";
    refuses(Check::V5, other, &with(|it| it.key.hash = Hash::Sha384));
    refuses(Check::V5, other, &with(|it| it.key.policy = vec![1; 32]));
    let scheme = vec![0, 0x18, 0, 0x0b];
    refuses(Check::V5, other, &with(|it| it.key.scheme = scheme));
    let cipher = vec![0, 6, 0, 128, 0, 0x43];
    refuses(Check::V5, other, &with(|it| it.key.symmetric = cipher));
}

/// The public area of an RSA key with these numbers.
fn rsa_area(attributes: u32, head: &[u8], n: &[u8], e: u32) -> Vec<u8> {
    let bits = u16::try_from(n.len() * 8).unwrap();
    [
        &[0, 1, 0, 0x0b][..],
        &attributes.to_be_bytes(),
        &[0, 0],
        head,
        &bits.to_be_bytes(),
        &e.to_be_bytes(),
        &sized(n),
    ]
    .concat()
}

/// A modulus of `len` bytes with the fingerprint of ROCA: 1 + k times the product of the primes in the fingerprint.
fn roca(len: usize) -> Vec<u8> {
    let product: u128 = tpm_wire::roca::PRIMES
        .iter()
        .map(|&it| u128::from(it))
        .product();
    let mut modulus = vec![0; len];
    modulus[..16].copy_from_slice(&(product << product.leading_zeros()).to_be_bytes());
    modulus[len - 1] = 1;
    modulus
}

#[test]
fn weak_rsa_keys_neither_sign_nor_attest() {
    let tpm = SoftwareTpm::new();
    let refused_key = |n: &[u8], e| {
        let mut request = tpm.request();
        request.key = rsa_area(0x0004_0472, &[0, 0x10, 0, 0x10], n, e);
        let (by, why) = refused(key_proof::check_request(&request, &any_tpm()));
        assert_eq!(by, Check::V5);
        why
    };
    let sound = Pair::rsa2048(2).modulus();
    let size = "the RSA key has neither 2048 nor 3072 bits, or a strange exponent";
    assert_eq!(refused_key(&sound, 3), size);
    assert_eq!(refused_key(&sound, 65539), size);
    for len in [64, 128, 255, 257, 512] {
        assert_eq!(refused_key(&vec![0xff; len], 0), size, "{len}");
    }
    assert_eq!(
        refused_key(&roca(256), 0),
        "the RSA key can be computed from its public half (ROCA)"
    );
    // The number 0 stands for 65537.
    let mut request = tpm.request();
    request.key = rsa_area(0x0004_0472, &[0, 0x10, 0, 0x10], &sound, 65537);
    key_proof::check_request(&request, &any_tpm()).unwrap();

    let (ssa, attributes) = ([0, 0x10, 0, 0x14, 0, 0x0b], 0x0005_0472);
    for (n, e) in [(&roca(256), 0), (&sound, 3)] {
        let mut request = tpm.request();
        request.attestation_key = rsa_area(attributes, &ssa, n, e);
        let result = key_proof::check_request(&request, &any_tpm());
        assert_eq!(refused(result).0, Check::V4);
    }
    let mut request = tpm.request();
    request.attestation_key = rsa_area(attributes, &ssa, &sound, 0);
    key_proof::check_request(&request, &any_tpm()).unwrap();
}

#[test]
fn v5_a_parent_is_a_storage_key_of_tpmssh() {
    passes(&with(|it| it.parent.key = Pair::rsa2048(3)));
    let no_parent = "the key's parent is not a token key";
    let changes: [fn(&mut Area); 7] = [
        |it| it.key = Pair::p384(),
        |it| it.key = Pair::rsa3072(1),
        |it| it.hash = Hash::Sha384,
        |it| it.symmetric = vec![0, 6, 1, 0, 0, 0x43],
        |it| it.symmetric = vec![0, 6, 0, 192, 0, 0x43],
        |it| it.symmetric = vec![0, 0x10],
        |it| it.scheme = vec![0, 0x18, 0, 0x0b],
    ];
    for change in changes {
        refuses(Check::V5, no_parent, &with(|it| change(&mut it.parent)));
    }
}

#[test]
fn v5_each_wall_has_its_own_policy() {
    let mut tpm = with(SoftwareTpm::behind_lockout);
    passes(&tpm);
    tpm.parent.policy = policy::lockout(&GUARD).to_vec();
    refuses(
        Check::V5,
        "the policy of the key's parent is not that of a PIN wall",
        &tpm,
    );
    let mut tpm = with(SoftwareTpm::behind_nothing);
    passes(&tpm);
    tpm.parent.policy = policy::lockout(&SO).to_vec();
    let other = "the PIN wall is not the one that is claimed";
    refuses(Check::V5, other, &tpm);
    let mut tpm = with(SoftwareTpm::behind_nothing);
    tpm.wall = WallClaim::Lockout {
        so_name: SO.to_vec(),
    };
    refuses(Check::V5, other, &tpm);
    let mut tpm = with(SoftwareTpm::behind_lockout);
    tpm.wall = WallClaim::None;
    refuses(Check::V5, other, &tpm);
    refuses(
        Check::V5,
        "the attributes of the key's parent are not those of a token key",
        &with(|it| it.parent.attributes = 0x0003_0032),
    );
}

/// Only Names of objects with SHA-256 are accepted. Somebody else could own an NV index or a hierarchy, and tpmssh uses no other hash.
#[test]
fn v5_a_name_in_the_wall_is_that_of_an_object() {
    let no_object = "a Name in the PIN wall is not that of an object";
    let sha384 = [&[0, 0x0c][..], &[5; 48]].concat();
    for name in [&SO[..33], &[&SO[..], &[0]].concat(), &[], &sha384] {
        for at in [0, 1] {
            let mut tpm = SoftwareTpm::new();
            if let WallClaim::Counter {
                so_name,
                guard_name,
                ..
            } = &mut tpm.wall
            {
                *[so_name, guard_name][at] = name.to_vec();
            }
            refuses(Check::V5, no_object, &tpm);
        }
        let mut tpm = with(SoftwareTpm::behind_lockout);
        tpm.wall = WallClaim::Lockout {
            so_name: name.to_vec(),
        };
        refuses(Check::V5, no_object, &tpm);
    }
}

/// The storage root key may have been made by another program, with any of the specification's hashes.
#[test]
fn v12_storage_root_keys_of_other_hashes_and_kinds_pass() {
    for hash in [Hash::Sha256, Hash::Sha384, Hash::Sha512] {
        for key in [Pair::p256(), Pair::p384(), Pair::rsa2048(3)] {
            passes(&with(|it| {
                it.srk.hash = hash;
                it.srk.key = key;
            }));
        }
    }
    // userWithAuth, adminWithPolicy and noDA are the owner's choice.
    for bit in [6, 7, 10] {
        passes(&with(|it| it.srk.attributes ^= 1 << bit));
    }
    for bit in (0..32).filter(|bit| ![6, 7, 10].contains(bit)) {
        refuses(
            Check::V12,
            "what is at the root of the TPM is no storage key of its own",
            &with(|it| it.srk.attributes ^= 1 << bit),
        );
    }
}

#[test]
fn v6_no_two_roles_have_one_key() {
    type Role = fn(&mut SoftwareTpm) -> &mut Area;
    let roles: [Role; 5] = [
        |it| &mut it.ek,
        |it| &mut it.ak,
        |it| &mut it.key,
        |it| &mut it.parent,
        |it| &mut it.srk,
    ];
    for (at, one) in roles.iter().enumerate() {
        for other in &roles[..at] {
            let mut tpm = SoftwareTpm::new();
            one(&mut tpm).key = other(&mut tpm).key.clone();
            refuses(Check::V6, "one key has two roles", &tpm);
        }
    }
}

#[test]
fn v6_a_request_for_nothing_is_good_for_everything() {
    let mut tpm = SoftwareTpm::new();
    (tpm.kind, tpm.principals) = (Kind::None, Vec::new());
    let mut policy = any_tpm();
    policy.principals = Some(vec!["anna".to_owned()]);
    for kind in [Kind::User, Kind::Host] {
        policy.kind = Some(kind);
        let verified = check(&tpm.proof(), &policy).unwrap();
        assert_eq!(verified.kind, Kind::None);
        assert_eq!(verified.principals, [""; 0]);
    }
    tpm.kind = Kind::Host;
    let names_nobody = (Check::V6, "it names no principals");
    assert_eq!(refused(tpm.checked(&any_tpm())), names_nobody);
}

#[test]
fn what_is_no_public_area_is_malformed() {
    let tpm = SoftwareTpm::new();
    let good = tpm.request();
    let why = |ek: &[u8]| {
        let mut request = good.clone();
        request.ek = ek.to_vec();
        match key_proof::check_request(&request, &any_tpm()) {
            Err(Error::Malformed { what, why }) => {
                assert_eq!(what, "public area");
                why
            }
            other => panic!("{other:?}"),
        }
    };
    let patched = |at: usize, bytes: &[u8]| {
        let mut ek = good.ek.clone();
        ek[at..at + bytes.len()].copy_from_slice(bytes);
        ek
    };
    assert_eq!(why(&[]), "it ends too early");
    assert_eq!(why(&[&good.ek[..], &[0]].concat()), "bytes are left over");
    let key = "it is neither an RSA nor an ECC key";
    assert_eq!(why(&patched(0, &[0, 8])), key);
    assert_eq!(why(&patched(0, &[0, 0x25])), key);
    let hash = "its Name's hash is not SHA-256, SHA-384 or SHA-512";
    assert_eq!(why(&patched(2, &[0, 4])), hash);
    // After the policy of 32 bytes: cipher, key bits, mode, scheme, curve, key derivation.
    let at = 10 + 32;
    let cipher = "its symmetric algorithm is not AES";
    assert_eq!(why(&patched(at, &[0, 0x26])), cipher);
    let mode = "its mode of encryption is not CFB";
    assert_eq!(why(&patched(at + 4, &[0, 0x42])), mode);
    let scheme = "its scheme is neither RSASSA nor ECDSA with SHA-2";
    assert_eq!(why(&patched(at + 6, &[0, 0x15])), scheme);
    assert_eq!(why(&patched(at + 6, &[0, 0x18, 0, 4])), scheme);
    let curve = "its curve is not P-256, P-384 or P-521";
    assert_eq!(why(&patched(at + 8, &[0, 0x20])), curve);
    let derivation = "it has a key derivation";
    assert_eq!(why(&patched(at + 10, &[0, 0x22])), derivation);
    let mut long = good.ek[..at + 12].to_vec();
    long.extend([&sized(&[1; 33])[..], &sized(&[1; 32])].concat());
    assert_eq!(why(&long), "a coordinate is too long");
    let modulus = "its modulus is not as long as it says";
    let none: [u8; 4] = [0, 0x10, 0, 0x10];
    let mut small = rsa_area(0x0003_00b2, &none, &[0x7f; 256], 0);
    assert_eq!(why(&small), modulus);
    small = rsa_area(0x0003_00b2, &none, &[0xff; 256], 0);
    small.truncate(small.len() - 258);
    small.extend(sized(&[0xff; 255]));
    assert_eq!(why(&small), modulus);
    assert_eq!(why(&rsa_area(0x0003_00b2, &none, &[], 0)), modulus);
}
