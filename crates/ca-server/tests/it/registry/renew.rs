//! Renewals in a registry.

use ca_server::Refusal;
use ca_server::registry::Outcome;

use super::world::{Come, Wish, World, host, issued, no_signer, random, verified};
use crate::software_tpm::NOW;

pub(super) fn a_renewal_is_noted_and_moves_the_time(world: &World) {
    let tpm = world.host("web1");
    let first = issued(world.renew(&tpm, &Come::at(5, &["web1"])));
    let second = issued(world.renew(&tpm, &Come::at(5, &["web1"])));
    assert_ne!(first, second);
    assert_eq!((world.rows("issued"), world.rows("principal")), (3, 1));
    let back = world.renew(&tpm, &Come::at(4, &["web1"]));
    assert_eq!(back, Outcome::TimeWentBack);
    assert_eq!(world.rows("issued"), 3);
    // A name that is asked for twice is reserved once, and a renewal without names reserves none.
    issued(world.renew(&tpm, &Come::at(6, &["web1", "web1"])));
    issued(world.renew(&tpm, &Come::at(6, &[])));
    assert_eq!(world.rows("principal"), 1);
}

/// The counters may wrap, because the TPM adds an offset to them.
pub(super) fn v14_time_does_not_go_back(world: &World) {
    let mut tpm = host("web1");
    tpm.time = (5_000, u32::MAX, 3);
    let wish = Wish::new("web1", Some(world.token("web1")));
    issued(world.enrol(&verified(&tpm), &wish));
    for (time, is_later) in [
        ((5_000, u32::MAX, 3), true),
        ((4_999, u32::MAX, 3), false),
        ((9_000, u32::MAX, 2), false),
        ((1, u32::MAX, 4), true),
        ((9_000, u32::MAX, 3), false),
        ((9_000, u32::MAX - 1, 9), false),
        // After a reset, the clock may be earlier.
        ((0, 0, 0), true),
        ((9_000, u32::MAX, 9), false),
        ((0, 0x8000_0000, 0), false),
        ((0, 0x7fff_ffff, u32::MAX), true),
        ((0, 0x7fff_ffff, u32::MAX - 1), false),
        ((0, 0x7fff_ffff, 0), true),
        ((u64::MAX, 0x7fff_ffff, 0), true),
        ((0, 0x7fff_ffff, 0), false),
    ] {
        let come = Come {
            time,
            ..Come::at(0, &["web1"])
        };
        match world.renew(&tpm, &come) {
            Outcome::Issued(_) => assert!(is_later, "{time:?}"),
            other => assert_eq!(
                (other, is_later),
                (Outcome::TimeWentBack, false),
                "{time:?}"
            ),
        }
    }
    // The same holds for an enrolment.
    tpm.time = (9_000, u32::MAX, 9);
    let back = world.enrol(&verified(&tpm), &Wish::new("web1", None));
    assert_eq!(back, Outcome::TimeWentBack);
}

/// A copy of a TPM that uses another key is found as well.
pub(super) fn v14_holds_for_all_keys_with_one_attestation_key(world: &World) {
    let mut first = world.host("web1");
    issued(world.renew(&first, &Come::at(100, &["web1"])));
    let mut second = host("web1");
    (second.ek, second.ak, second.srk) = (first.ek.clone(), first.ak.clone(), first.srk.clone());
    second.time = (99, 0, 0);
    let wish = Wish::new("web1", Some(world.token("web1")));
    assert_eq!(
        world.enrol(&verified(&second), &wish),
        Outcome::TimeWentBack
    );
    second.time = (200, 0, 0);
    issued(world.enrol(&verified(&second), &wish));
    first.time = (150, 0, 0);
    let back = world.enrol(&verified(&first), &Wish::new("web1", None));
    assert_eq!(back, Outcome::TimeWentBack);
    let back = world.renew(&second, &Come::at(150, &["web1"]));
    assert_eq!(back, Outcome::TimeWentBack);
}

pub(super) fn a_nonce_counts_once(world: &World) {
    let tpm = world.host("web1");
    let mut come = Come::at(5, &["web1"]);
    let first = issued(world.renew(&tpm, &come));
    let bound = world.bound(&tpm)[0].id;
    // Nothing is signed a second time.
    let again = world.renew_by(bound, &come, &mut no_signer).unwrap();
    assert_eq!(issued(again), first);
    // The same holds after later renewals.
    issued(world.renew(&tpm, &Come::at(9, &["web1"])));
    assert_eq!(issued(world.renew(&tpm, &come)), first);
    come.body = [2; 32];
    assert_eq!(world.renew(&tpm, &come), Outcome::NonceUsed);
    assert_eq!(world.rows("issued"), 3);
}

pub(super) fn an_answer_that_was_given_is_not_given_to_a_revoked_key(world: &World) {
    let tpm = world.host("web1");
    let come = Come::at(5, &["web1"]);
    issued(world.renew(&tpm, &come));
    let bound = world.bound(&tpm)[0].clone();
    assert!(world.registry.revoke(1, "stolen", NOW, "uid 0").unwrap());
    assert_eq!(world.try_renew(&bound, &come).unwrap(), Outcome::Unknown);
    let fresh = Come::at(9, &["web1"]);
    assert_eq!(world.try_renew(&bound, &fresh).unwrap(), Outcome::Unknown);
}

pub(super) fn a_key_that_is_not_active_gets_nothing(world: &World) {
    let old = world.host("web1");
    let mut new = host("web1");
    new.ek = old.ek.clone();
    world.enrol(&verified(&new), &Wish::new("web1", None));
    let come = || Come::at(5, &["web1"]);
    assert_eq!(world.renew(&new, &come()), Outcome::Unknown);
    issued(world.renew(&old, &come()));
    world.registry.approve(world.bound(&new)[0].id).unwrap();
    assert_eq!(world.renew(&old, &come()), Outcome::Unknown);
    let nobody = world.renew_by(4711, &come(), &mut no_signer).unwrap();
    assert_eq!(nobody, Outcome::Unknown);
    assert_eq!(world.rows("issued"), 2);
}

pub(super) fn a_new_name_is_taken_unless_another_key_has_it(world: &World) {
    let (first, second) = (world.host("web1"), world.host("web2"));
    issued(world.renew(&first, &Come::at(1, &["web1", "www"])));
    let taken = world.renew(&second, &Come::at(1, &["web2", "alone", "www"]));
    assert_eq!(taken, Outcome::NameTaken);
    assert_eq!(world.rows("principal"), 3);
    // The name stays reserved if the host later asks for fewer names, because a certificate with it may still be valid.
    issued(world.renew(&first, &Come::at(1, &["web1"])));
    let taken = world.renew(&second, &Come::at(1, &["www"]));
    assert_eq!(taken, Outcome::NameTaken);
    issued(world.renew(&second, &Come::at(1, &["web2", "alone"])));
    assert_eq!(world.rows("principal"), 4);
}

pub(super) fn what_cannot_be_signed_leaves_the_time_and_the_nonce(world: &World) {
    let tpm = world.host("web1");
    let come = Come::at(500, &["web1", "www"]);
    let bound = world.bound(&tpm)[0].id;
    let refused = world.renew_by(bound, &come, &mut no_signer);
    assert!(matches!(refused, Err(Refusal::Signer(_))), "{refused:?}");
    assert_eq!((world.rows("issued"), world.rows("principal")), (1, 1));
    issued(world.renew(&tpm, &Come::at(1, &["web1"])));
    issued(world.renew(&tpm, &come));
}

/// Nonces are deleted an hour after they have expired, and not before, because clocks of nodes differ.
pub(super) fn a_nonce_is_forgotten_after_it_has_expired(world: &World) {
    let tpm = world.host("web1");
    let old = Come::at(1, &["web1"]);
    issued(world.renew(&tpm, &old));
    let later = |seconds| Come {
        now: NOW + seconds,
        nonce: random(),
        ..old
    };
    issued(world.renew(&tpm, &later(60 * 60)));
    assert_eq!(world.rows("used_nonce"), 3);
    issued(world.renew(&tpm, &later(2 * 60 * 60)));
    assert_eq!(world.rows("used_nonce"), 2);
}
