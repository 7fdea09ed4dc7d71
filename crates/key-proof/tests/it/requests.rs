//! Checks V2 to V6: for each an attack on a request, and a similar request that passes.

use key_proof::{Check, Kind, Mode, Origin, Wall, WallClaim};

use crate::software_tpm::{
    COUNTER, GUARD, NOW, SO, SoftwareTpm, any_tpm, check, ek_name, nv_public, policy, refused,
};

#[test]
fn a_whole_proof_passes_behind_each_wall() {
    for wall in [Wall::Counter, Wall::Lockout, Wall::None] {
        let mut tpm = SoftwareTpm::new();
        match wall {
            Wall::Lockout => tpm.behind_lockout(),
            Wall::None => tpm.behind_nothing(),
            _ => {}
        }
        let verified = check(&tpm.proof(), &any_tpm()).unwrap();
        assert_eq!((verified.wall, verified.origin), (wall, Origin::BornHere));
        assert_eq!((verified.mode, verified.issued), (Mode::D, NOW));
        assert_eq!(verified.ek_name, ek_name(&tpm));
    }
}

#[test]
fn v2_an_endorsement_key_of_no_template_is_refused() {
    for bit in 0..32 {
        let mut tpm = SoftwareTpm::new();
        tpm.ek.attributes ^= 1 << bit;
        let result = tpm.checked(&any_tpm());
        assert_eq!(refused(result).0, Check::V2, "bit {bit}");
    }
    let mut tpm = SoftwareTpm::new();
    tpm.ek.policy = policy::lockout(&SO).to_vec();
    assert_eq!(refused(tpm.checked(&any_tpm())).0, Check::V2);
    let mut tpm = SoftwareTpm::new();
    tpm.ek.symmetric = vec![0, 6, 1, 0, 0, 0x43];
    assert_eq!(refused(tpm.checked(&any_tpm())).0, Check::V2);
}

#[test]
fn v3_a_tpm_that_is_not_expected_is_refused() {
    let tpm = SoftwareTpm::new();
    let proof = tpm.proof();
    let mut policy = any_tpm();
    policy.any_tpm = false;
    assert_eq!(refused(check(&proof, &policy)).0, Check::V3);
    policy.inventory = Some(vec![ek_name(&SoftwareTpm::new())]);
    assert_eq!(refused(check(&proof, &policy)).0, Check::V3);
    policy.inventory = Some(vec![ek_name(&tpm)]);
    assert_eq!(check(&proof, &policy).unwrap().mode, Mode::B);
    policy.revoked = vec![ek_name(&tpm)];
    assert_eq!(
        refused(check(&proof, &policy)),
        (Check::V3, "this TPM is revoked")
    );
}

/// A key that is not restricted signs any data, also data that looks like an attestation.
#[test]
fn v4_an_attestation_key_with_any_other_attribute_gets_no_challenge() {
    for bit in 0..32 {
        let mut tpm = SoftwareTpm::new();
        tpm.ak.attributes ^= 1 << bit;
        assert_eq!(refused(tpm.checked(&any_tpm())).0, Check::V4, "bit {bit}");
    }
    let mut tpm = SoftwareTpm::new();
    tpm.ak.policy = vec![1; 32];
    assert_eq!(refused(tpm.checked(&any_tpm())).0, Check::V4);
    let mut tpm = SoftwareTpm::new();
    tpm.ak.scheme = vec![0, 0x10];
    assert_eq!(refused(tpm.checked(&any_tpm())).0, Check::V4);
    let mut tpm = SoftwareTpm::new();
    tpm.ak.scheme = vec![0, 0x18, 0, 0x0c];
    assert_eq!(refused(tpm.checked(&any_tpm())).0, Check::V4);
}

#[test]
fn v5_a_key_with_any_other_attribute_is_refused() {
    for bit in 0..32 {
        let mut tpm = SoftwareTpm::new();
        tpm.key.attributes ^= 1 << bit;
        let (by, why) = refused(tpm.checked(&any_tpm()));
        assert_eq!(by, Check::V5, "bit {bit}");
        match bit {
            1 | 4 => assert_eq!(why, "the key can leave its TPM"),
            5 => assert_eq!(
                why,
                "the key was made outside of the TPM, and there may be a copy"
            ),
            _ => {}
        }
    }
    // The attributes of keys that were imported into tpmssh.
    let mut tpm = SoftwareTpm::new();
    tpm.key.attributes = 0x0004_0440;
    tpm.key.policy = vec![0xcc; 32];
    assert_eq!(
        refused(tpm.checked(&any_tpm())),
        (
            Check::V5,
            "the key was made outside of the TPM, and there may be a copy"
        )
    );
    let mut tpm = SoftwareTpm::new();
    tpm.key.policy = vec![1; 32];
    assert_eq!(refused(tpm.checked(&any_tpm())).0, Check::V5);
    let mut tpm = SoftwareTpm::new();
    tpm.key.scheme = vec![0, 0x18, 0, 0x0b];
    assert_eq!(refused(tpm.checked(&any_tpm())).0, Check::V5);
}

#[test]
fn v5_a_parent_with_any_other_attribute_is_refused() {
    let walls: [fn(&mut SoftwareTpm); 3] = [
        SoftwareTpm::behind_lockout,
        SoftwareTpm::behind_nothing,
        |_| {},
    ];
    for walls in walls {
        for bit in 0..32 {
            let mut tpm = SoftwareTpm::new();
            walls(&mut tpm);
            tpm.parent.attributes ^= 1 << bit;
            assert_eq!(refused(tpm.checked(&any_tpm())).0, Check::V5, "bit {bit}");
        }
    }
}

/// With OWNERWRITE or AUTHWRITE, somebody without the SO PIN could set the count back.
#[test]
fn v5_a_pin_counter_that_others_can_change_is_no_wall() {
    let right = policy::counter(&SO, &GUARD);
    for bit in 0..32 {
        let mut tpm = SoftwareTpm::new();
        tpm.behind_counter(&nv_public(0x0180_0001, COUNTER ^ 1 << bit, &right, 8));
        assert_eq!(refused(tpm.checked(&any_tpm())).0, Check::V5, "bit {bit}");
    }
    let others = policy::or(&[policy::command([0; 32], 0x137), right]);
    for (index, policy, size) in [
        (0x0180_0001, &others, 8),
        (0x0180_0001, &right, 9),
        (0x01c0_0001, &right, 8),
    ] {
        let mut tpm = SoftwareTpm::new();
        tpm.behind_counter(&nv_public(index, COUNTER, policy, size));
        assert_eq!(refused(tpm.checked(&any_tpm())).0, Check::V5);
    }
    // A hierarchy as the SO: its owner could set the count back.
    let mut tpm = SoftwareTpm::new();
    let owner = [0x40, 0, 0, 1];
    tpm.behind_counter(&nv_public(
        0x0180_0001,
        COUNTER,
        &policy::counter(&owner, &GUARD),
        8,
    ));
    if let WallClaim::Counter { so_name, .. } = &mut tpm.wall {
        *so_name = owner.to_vec();
    }
    assert_eq!(
        refused(tpm.checked(&any_tpm())),
        (Check::V5, "a Name in the PIN wall is not that of an object")
    );
}

#[test]
fn v5_the_counter_of_another_token_is_refused() {
    let mut tpm = SoftwareTpm::new();
    let other = nv_public(0x0180_0002, COUNTER, &policy::counter(&SO, &GUARD), 8);
    if let WallClaim::Counter { counter, .. } = &mut tpm.wall {
        *counter = other;
    }
    assert_eq!(
        refused(tpm.checked(&any_tpm())),
        (
            Check::V5,
            "the key's parent does not ask for this PIN counter"
        )
    );
    // The claim is missing, or names another wall.
    for wall in [
        WallClaim::None,
        WallClaim::Lockout {
            so_name: SO.to_vec(),
        },
    ] {
        let mut tpm = SoftwareTpm::new();
        tpm.wall = wall;
        assert_eq!(refused(tpm.checked(&any_tpm())).0, Check::V5);
    }
}

#[test]
fn v5_a_wall_that_is_too_weak_is_refused() {
    let mut policy = any_tpm();
    policy.least_wall = Wall::Counter;
    let mut tpm = SoftwareTpm::new();
    check(&tpm.proof(), &policy).unwrap();
    tpm.behind_lockout();
    assert_eq!(refused(check(&tpm.proof(), &policy)).0, Check::V5);
    policy.least_wall = Wall::Lockout;
    check(&tpm.proof(), &policy).unwrap();
    tpm.behind_nothing();
    assert_eq!(refused(check(&tpm.proof(), &policy)).0, Check::V5);
}

#[test]
fn v6_a_proof_for_others_or_for_something_else_is_refused() {
    let mut tpm = SoftwareTpm::new();
    tpm.audience = "https://one.example/".to_owned();
    let proof = tpm.proof();
    assert_eq!(
        refused(check(&proof, &any_tpm())),
        (Check::V6, "it is for another audience")
    );
    let mut policy = any_tpm();
    policy.audience.clone_from(&tpm.audience);
    check(&proof, &policy).unwrap();
    policy.kind = Some(Kind::Host);
    assert_eq!(refused(check(&proof, &policy)).0, Check::V6);
    policy.kind = Some(Kind::User);
    policy.principals = Some(vec!["bert".to_owned()]);
    assert_eq!(refused(check(&proof, &policy)).0, Check::V6);
    policy.principals = Some(vec!["bert".to_owned(), "anna".to_owned()]);
    check(&proof, &policy).unwrap();
    tpm.principals.clear();
    assert_eq!(
        refused(tpm.checked(&policy)),
        (Check::V6, "it names no principals")
    );
}

#[test]
fn v6_one_key_does_not_have_two_roles() {
    let mut tpm = SoftwareTpm::new();
    tpm.key.key = tpm.ak.key.clone();
    assert_eq!(
        refused(tpm.checked(&any_tpm())),
        (Check::V6, "one key has two roles")
    );
    let mut tpm = SoftwareTpm::new();
    tpm.ek.key = tpm.parent.key.clone();
    assert_eq!(refused(tpm.checked(&any_tpm())).0, Check::V6);
}
