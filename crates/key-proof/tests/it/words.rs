//! Check V5 for every object that tpmssh makes, by its attributes, policies and hashes. One kind is a key that can be proven, and three kinds are
//! parents of such keys.

use key_proof::{Check, WallClaim};

use crate::{
    pair::{Hash, Pair},
    software_tpm::{SO, SoftwareTpm, any_tpm, policy, refused},
};

/// Whether an object passes as the key of a proof.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum AsKey {
    /// With every algorithm.
    Passes,
    /// Only as an RSA key.
    PassesAsRsa,
    Outside,
    Unfit,
}

/// `PolicyCommandCode(Sign)`, of imported keys, in the hash of their Name.
fn sign_alone(hash: Hash) -> Vec<u8> {
    let empty = vec![0; hash.of(b"").len()];
    // TPM_CC_PolicyCommandCode and TPM_CC_Sign (part 2, section 6.5.2).
    hash.of(&[&empty[..], &[0, 0, 1, 0x6c], &[0, 0, 1, 0x5d]].concat())
}

/// `PolicyOR(PolicyCommandCode(Import), PolicyCommandCode(Load))`, of arrival keys.
fn arrival() -> Vec<u8> {
    let branches = [0x156, 0x157].map(|code| policy::command([0; 32], code));
    policy::or(&branches).to_vec()
}

/// Each object: what it is, its attributes, its policy, and whether it passes as the key. Tests of tpm-core compare its templates with the same
/// attributes byte by byte.
fn objects() -> Vec<(&'static str, u32, Vec<u8>, AsKey)> {
    use AsKey::{Outside, Passes, PassesAsRsa, Unfit};
    let imported = || sign_alone(Hash::Sha256);
    vec![
        ("signing key", 0x0004_0472, vec![], Passes),
        ("key that decrypts", 0x0006_0472, vec![], PassesAsRsa),
        ("imported key", 0x0004_0440, imported(), Outside),
        ("imported RSA key", 0x0006_0440, imported(), Outside),
        ("arrival key", 0x0003_0432, arrival(), Unfit),
        ("behind a counter", 0x0003_04b2, vec![5; 32], Unfit),
        ("behind the lockout", 0x0003_00f2, vec![5; 32], Unfit),
        ("behind nothing", 0x0003_0472, vec![], Unfit),
        ("attestation key", 0x0005_0472, vec![], Unfit),
        ("low endorsement key", 0x0003_00b2, vec![5; 32], Unfit),
        ("sealed, counted", 0x0000_0052, vec![], Outside),
        ("sealed", 0x0000_0452, vec![], Outside),
        // A key that another program of the user made.
        ("key that can leave", 0x0004_0460, vec![], Unfit),
    ]
}

#[test]
fn v5_of_all_objects_that_tpmssh_makes_its_signing_keys_alone_are_proven() {
    for (what, attributes, policy, as_key) in objects() {
        for key in [Pair::p256(), Pair::p384(), Pair::p521(), Pair::rsa2048(2)] {
            let passes = as_key == AsKey::Passes || as_key == AsKey::PassesAsRsa && key.is_rsa();
            let mut tpm = SoftwareTpm::new();
            tpm.key.key = key;
            tpm.key.attributes = attributes;
            tpm.key.policy.clone_from(&policy);
            let result = tpm.checked(&any_tpm());
            if passes {
                result.unwrap();
                continue;
            }
            let (by, why) = refused(result);
            assert_eq!(by, Check::V5, "{what}");
            let outside = "the key was made outside of the TPM, and there may be a copy";
            assert_eq!(why == outside, as_key == AsKey::Outside, "{what}: {why}");
        }
    }
}

/// Also on a chip whose storage keys have SHA-384, and with an empty policy.
#[test]
fn v5_an_imported_key_is_refused_with_each_hash_and_policy() {
    let sha256 = sign_alone(Hash::Sha256);
    assert_eq!(sha256[..4], [0xcc, 0x69, 0x18, 0xb2], "that of tpm-core");
    for hash in [Hash::Sha256, Hash::Sha384, Hash::Sha512] {
        for policy in [sign_alone(hash), vec![]] {
            for attributes in [0x0004_0440, 0x0006_0440] {
                let mut tpm = SoftwareTpm::new();
                tpm.key.hash = hash;
                tpm.key.attributes = attributes;
                tpm.key.policy.clone_from(&policy);
                assert_eq!(
                    refused(tpm.checked(&any_tpm())),
                    (
                        Check::V5,
                        "the key was made outside of the TPM, and there may be a copy"
                    )
                );
                // The claim that it was born here does not help: a key that was born here has another policy.
                tpm.key.attributes |= 0x32;
                if !policy.is_empty() || hash != Hash::Sha256 {
                    assert_eq!(refused(tpm.checked(&any_tpm())).0, Check::V5, "{hash:?}");
                }
            }
        }
    }
}

/// Imported keys are below an arrival key, so a key below an arrival key was not born in the token.
#[test]
fn v5_only_token_keys_are_parents_and_each_with_its_own_wall() {
    type Wall = fn(&mut SoftwareTpm);
    let walls: [(u32, Wall); 3] = [
        (0x0003_04b2, |_| {}),
        (0x0003_00f2, SoftwareTpm::behind_lockout),
        (0x0003_0472, SoftwareTpm::behind_nothing),
    ];
    for (own, wall) in walls {
        for (what, attributes, policy, _) in objects() {
            let mut tpm = SoftwareTpm::new();
            wall(&mut tpm);
            tpm.parent.attributes = attributes;
            if attributes == own {
                tpm.checked(&any_tpm()).unwrap();
            } else {
                // With the policy of the wall, and with its own.
                assert_eq!(refused(tpm.checked(&any_tpm())).0, Check::V5, "{what}");
                tpm.parent.policy = policy;
                assert_eq!(refused(tpm.checked(&any_tpm())).0, Check::V5, "{what}");
            }
        }
        let mut tpm = SoftwareTpm::new();
        wall(&mut tpm);
        tpm.parent.policy = arrival();
        assert_eq!(refused(tpm.checked(&any_tpm())).0, Check::V5);
    }
    // A parent without a wall does not pass with a claim of a wall, and the reverse.
    let mut tpm = SoftwareTpm::new();
    tpm.behind_nothing();
    tpm.wall = WallClaim::Lockout {
        so_name: SO.to_vec(),
    };
    assert_eq!(
        refused(tpm.checked(&any_tpm())),
        (Check::V5, "the PIN wall is not the one that is claimed")
    );
}
