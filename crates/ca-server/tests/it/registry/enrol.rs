//! Enrolments in a registry.

use ca_server::Refusal;
use ca_server::policy::Rebind;
use ca_server::registry::{Admission, Outcome};

use super::world::{
    Come, Wish, World, assignment, host, issued, no_signer, pending, random, verified,
};
use crate::software_tpm::NOW;

pub(super) fn a_first_proof_is_noted_with_its_certificate(world: &World) {
    let tpm = host("web1");
    let proof = verified(&tpm);
    assert_eq!(world.registry.standing(&proof.ek_name).unwrap(), None);
    let certificate = issued(world.enrol(&proof, &Wish::new("web1", Some(world.token("web1")))));
    let standing = world.registry.standing(&proof.ek_name).unwrap().unwrap();
    assert!(!standing.revoked && standing.imported.is_empty());
    assert_eq!(standing.assignments, [assignment("web1")]);
    let bound = &world.bound(&tpm)[0];
    assert!(bound.active);
    assert_eq!(bound.ek_name, proof.ek_name);
    assert_eq!(bound.assignment, assignment("web1"));
    assert_eq!((bound.wall.as_str(), bound.mode.as_str()), ("none", "D"));
    let (is, was) = (&bound.binding, &proof.binding);
    assert_eq!(is.attestation_key.bytes(), was.attestation_key.bytes());
    assert_eq!(is.ssh_key.blob(), was.ssh_key.blob());
    assert_eq!(
        (&is.signer, &is.key, &is.qualified_name),
        (&was.signer, &was.key, &was.qualified_name)
    );
    for table in ["device", "binding", "principal", "issued", "used_nonce"] {
        assert_eq!(world.rows(table), 1, "{table}");
    }
    // Another node sees it as well.
    let there = world.again().bound(&proof.attestation_key, &was.key);
    assert_eq!(there.unwrap()[0].id, bound.id);
    assert!(ssh_format::Certificate::from_blob(&certificate).is_ok());
}

pub(super) fn without_a_token_a_stranger_leaves_no_trace(world: &World) {
    let outcome = world.enrol(&verified(&host("web1")), &Wish::new("web1", None));
    assert_eq!(outcome, Outcome::Unknown);
    assert_eq!((world.rows("device"), world.rows("used_nonce")), (0, 0));
}

pub(super) fn a_token_is_good_once_and_until_it_expires(world: &World) {
    let token = world.token("web1");
    let good = |now| world.registry.join_token(&token, now).unwrap().unwrap();
    assert_eq!(good(NOW).assignment, assignment("web1"));
    assert!(good(NOW + 99).is_good && !good(NOW + 100).is_good);
    assert_eq!(world.registry.join_token(&random(), NOW).unwrap(), None);
    let unknown = Wish::new("web1", Some(random()));
    assert_eq!(
        world.enrol(&verified(&host("web1")), &unknown),
        Outcome::NoToken
    );
    let old = random();
    world.add_token(old, "web1", NOW, 1);
    let old = Wish::new("web1", Some(old));
    assert_eq!(
        world.enrol(&verified(&host("web1")), &old),
        Outcome::NoToken
    );
    let wish = Wish::new("web1", Some(token));
    issued(world.enrol(&verified(&host("web1")), &wish));
    assert!(!good(NOW).is_good);
    let again = Wish::new("web2", Some(token));
    assert_eq!(
        world.enrol(&verified(&host("web2")), &again),
        Outcome::NoToken
    );
    assert_eq!(world.rows("device"), 1);
}

pub(super) fn a_device_has_one_name_in_a_role(world: &World) {
    let old = world.host("web1");
    let mut new = host("web2");
    new.ek = old.ek.clone();
    let token = world.token("web2");
    let outcome = world.enrol(&verified(&new), &Wish::new("web2", Some(token)));
    assert_eq!(outcome, Outcome::OtherName);
    let token = world.registry.join_token(&token, NOW).unwrap().unwrap();
    assert!(token.is_good);
}

pub(super) fn a_name_belongs_to_one_key_and_a_refusal_uses_no_token(world: &World) {
    world.host("web1");
    let second = host("web1");
    let wish = Wish::new("web1", Some(world.token("web1")));
    assert_eq!(world.enrol(&verified(&second), &wish), Outcome::NameTaken);
    assert_eq!((world.rows("device"), world.rows("issued")), (1, 1));
    assert!(world.registry.revoke(1, "", NOW, "uid 0").unwrap());
    issued(world.enrol(&verified(&second), &wish));
}

pub(super) fn the_same_answer_gets_the_same_certificate_and_another_one_none(world: &World) {
    let proof = verified(&host("web1"));
    let mut wish = Wish::new("web1", Some(world.token("web1")));
    let first = issued(world.enrol(&proof, &wish));
    let again = world.enrol_by(&proof, &wish, &mut no_signer).unwrap();
    assert_eq!(issued(again), first);
    wish.body = [2; 32];
    assert_eq!(world.enrol(&proof, &wish), Outcome::NonceUsed);
    assert_eq!(world.rows("issued"), 1);
}

pub(super) fn what_cannot_be_signed_is_not_noted(world: &World) {
    let proof = verified(&host("web1"));
    let wish = Wish::new("web1", Some(world.token("web1")));
    let refused = world.enrol_by(&proof, &wish, &mut no_signer);
    assert!(matches!(refused, Err(Refusal::Signer(_))), "{refused:?}");
    for table in ["device", "binding", "principal", "issued", "used_nonce"] {
        assert_eq!(world.rows(table), 0, "{table}");
    }
    issued(world.enrol(&proof, &wish));
}

pub(super) fn another_key_waits_and_replaces_the_first_with_its_names(world: &World) {
    let old = world.host("web1");
    let mut new = host("web1");
    new.ek = old.ek.clone();
    let wish = Wish::new("web1", None);
    let proof = verified(&new);
    let number = pending(world.enrol(&proof, &wish));
    // The same answer waits under the same number when it is repeated, and so does a new answer.
    assert_eq!(pending(world.enrol(&proof, &wish)), number);
    assert_eq!(pending(world.enrol(&verified(&new), &wish)), number);
    assert!(!world.bound(&new)[0].active && world.bound(&old)[0].active);
    let key = world.registry.approve(number).unwrap().unwrap();
    assert_eq!(key.blob(), proof.key.blob());
    assert!(world.registry.approve(number).unwrap().is_none());
    assert!(world.registry.approve(4711).unwrap().is_none());
    assert!(world.bound(&new)[0].active && !world.bound(&old)[0].active);
    // The new key got the name.
    let rival = Wish::new("web1", Some(world.token("web1")));
    let outcome = world.enrol(&verified(&host("web1")), &rival);
    assert_eq!(outcome, Outcome::NameTaken);
    issued(world.renew(&new, &Come::at(1, &["web1"])));
    // With a token, the key does not wait.
    let mut third = host("web1");
    third.ek = old.ek.clone();
    let wish = Wish::new("web1", Some(world.token("web1")));
    issued(world.enrol(&verified(&third), &wish));
    assert!(!world.bound(&new)[0].active);
}

pub(super) fn a_key_that_was_replaced_comes_back_by_approval_alone(world: &World) {
    let old = world.host("web1");
    let mut new = host("web1");
    new.ek = old.ek.clone();
    let wish = Wish::new("web1", Some(world.token("web1")));
    issued(world.enrol(&verified(&new), &wish));
    let number = pending(world.enrol(&verified(&old), &Wish::new("web1", None)));
    assert_eq!(number, world.bound(&old)[0].id);
    world.registry.approve(number).unwrap().unwrap();
    assert!(world.bound(&old)[0].active && !world.bound(&new)[0].active);
    assert_eq!(world.rows("binding"), 2);
}

pub(super) fn the_first_key_may_have_to_wait(world: &World) {
    let tpm = host("web1");
    let mut wish = Wish::new("web1", Some(world.token("web1")));
    wish.approve_first = true;
    let number = pending(world.enrol(&verified(&tpm), &wish));
    wish.token = None;
    assert_eq!(pending(world.enrol(&verified(&tpm), &wish)), number);
    assert_eq!(world.rows("issued"), 0);
    world.registry.approve(number).unwrap().unwrap();
    issued(world.enrol(&verified(&tpm), &wish));
}

pub(super) fn an_attestation_key_belongs_to_one_device(world: &World) {
    let first = world.host("web1");
    let mut second = host("web2");
    (second.ak, second.srk) = (first.ak.clone(), first.srk.clone());
    let wish = Wish::new("web2", Some(world.token("web2")));
    assert_eq!(world.enrol(&verified(&second), &wish), Outcome::Unknown);
    assert_eq!(world.rows("device"), 1);
}

/// A machine has to wait, or its answer was lost. It enrols again with the same token, which has uses for other machines.
pub(super) fn a_machine_that_comes_again_uses_its_token_once(world: &World) {
    let (token, tpm) = (random(), host("web1"));
    world.add_token(token, "web1", NOW + 100, 3);
    let uses = || world.registry.join_tokens(NOW).unwrap()[0].uses;
    let mut wish = Wish::new("web1", Some(token));
    wish.approve_first = true;
    let number = pending(world.enrol(&verified(&tpm), &wish));
    assert_eq!(
        (number, uses()),
        (pending(world.enrol(&verified(&tpm), &wish)), 2)
    );
    world.registry.approve(number).unwrap().unwrap();
    for _ in 0..2 {
        issued(world.enrol(&verified(&tpm), &wish));
        assert_eq!(uses(), 2);
    }
    // Another key uses the token once more, and so does the first key if it comes back.
    let mut second = host("web1");
    second.ek = tpm.ek.clone();
    for _ in 0..2 {
        issued(world.enrol(&verified(&second), &wish));
        assert_eq!(uses(), 1);
    }
    pending(world.enrol(&verified(&tpm), &Wish::new("web1", None)));
    issued(world.enrol(&verified(&tpm), &wish));
    assert_eq!(world.registry.join_tokens(NOW).unwrap(), []);
    assert!(world.bound(&tpm)[0].active && !world.bound(&tpm)[0].ended);
    assert!(world.bound(&second)[0].ended);
}

/// If a machine enrols again with a stronger wall, the registry has the new wall.
pub(super) fn the_newest_proof_counts(world: &World) {
    let tpm = world.host("web1");
    let mut proof = verified(&tpm);
    proof.wall = key_proof::Wall::Counter;
    proof.mode = key_proof::Mode::B;
    issued(world.enrol(&proof, &Wish::new("web1", None)));
    let bound = &world.bound(&tpm)[0];
    assert_eq!((bound.wall.as_str(), bound.mode.as_str()), ("counter", "B"));
}

/// An identity gives a role, but does not allow a second key. A signature by the device's key does.
pub(super) fn an_identity_gives_a_role_and_an_old_key_its_place(world: &World) {
    let first = host("web1");
    let mut wish = Wish::new("web1", None);
    wish.admission = Admission::OldKey(verified(&first).key.blob().to_vec());
    wish.rebind = Rebind::OldKey;
    assert_eq!(world.enrol(&verified(&first), &wish), Outcome::Unknown);
    wish.admission = Admission::Identity;
    issued(world.enrol(&verified(&first), &wish));
    let (ek, old) = (verified(&first).ek_name, verified(&first).key);
    let has = |blob: &[u8]| world.registry.has_key(&ek, blob).unwrap();
    assert_eq!(has(old.blob()), [assignment("web1")]);
    let mut second = host("web1");
    second.ek = first.ek.clone();
    let proof = verified(&second);
    assert!(has(proof.key.blob()).is_empty());
    pending(world.enrol(&verified(&second), &wish));
    // A signature by the new key itself does not count, and no signature does if the role does not accept it.
    for (key, rebind) in [(&proof.key, Rebind::OldKey), (&old, Rebind::Approve)] {
        wish.admission = Admission::OldKey(key.blob().to_vec());
        wish.rebind = rebind;
        pending(world.enrol(&verified(&second), &wish));
    }
    wish.rebind = Rebind::OldKey;
    issued(world.enrol(&verified(&second), &wish));
    assert!(has(old.blob()).is_empty() && !world.bound(&first)[0].active);
    assert_eq!(has(proof.key.blob()), [assignment("web1")]);
    // Another endorsement key does not have this role.
    let other = verified(&host("web1")).ek_name;
    let nothing = world.registry.has_key(&other, proof.key.blob()).unwrap();
    assert!(nothing.is_empty());
    // The first key was replaced, so its signature does not count.
    let mut third = host("web1");
    third.ek = first.ek.clone();
    wish.admission = Admission::OldKey(old.blob().to_vec());
    pending(world.enrol(&verified(&third), &wish));
    wish.admission = Admission::Identity;
    wish.rebind = Rebind::Auto;
    issued(world.enrol(&verified(&third), &wish));
    let device = world.registry.devices().unwrap()[0].device;
    assert!(world.registry.revoke(device, "", NOW, "uid 0").unwrap());
    assert!(has(verified(&third).key.blob()).is_empty());
}

/// A token may be for several machines of one person, and can be withdrawn.
pub(super) fn a_token_with_several_uses_lets_in_as_many_and_can_be_withdrawn(world: &World) {
    let (twice, once) = (random(), random());
    world.add_token(twice, "anna", NOW + 50, 2);
    world.add_token(once, "bert", NOW + 100, 1);
    world.add_token(random(), "late", NOW, 1);
    let good = || {
        let tokens = world.again().join_tokens(NOW).unwrap();
        let shown = tokens.into_iter();
        let shown = shown.map(|it| (it.hash, it.assignment.name, it.uses, it.expires, it.by));
        shown.collect::<Vec<_>>()
    };
    let bert = (once, "bert".to_owned(), 1, NOW + 100, "uid 0".to_owned());
    let anna = |uses| (twice, "anna".to_owned(), uses, NOW + 50, "uid 0".to_owned());
    assert_eq!(good(), [anna(2), bert.clone()]);
    let wish = Wish::new("anna", Some(twice));
    let person = |wish: &Wish<'_>| {
        let mut proof = verified(&host("anna"));
        proof.kind = key_proof::Kind::User;
        world.enrol(&proof, wish)
    };
    issued(person(&wish));
    assert_eq!(good(), [anna(1), bert.clone()]);
    // The second machine enrols three times, as if its answers were lost.
    let second = host("anna");
    for _ in 0..3 {
        let mut proof = verified(&second);
        proof.kind = key_proof::Kind::User;
        issued(world.enrol(&proof, &wish));
        assert_eq!(world.rows("join_token WHERE uses_left = 0"), 1);
        assert!(good().contains(&bert) && good().len() == 1);
    }
    assert_eq!(person(&wish), Outcome::NoToken);
    assert_eq!(good(), [bert]);
    assert!(world.registry.withdraw_join_token(&once).unwrap());
    assert!(!world.registry.withdraw_join_token(&random()).unwrap());
    assert!(good().is_empty());
    assert_eq!(person(&Wish::new("bert", Some(once))), Outcome::NoToken);
}
