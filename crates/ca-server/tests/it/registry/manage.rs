//! Changes by administrators.

use ca_server::registry::{Custody, Expected, Noted, NotedRevocation, Outcome, Registry, Retired};
use key_proof::Verified;
use ssh_format::Fingerprint;

use super::world::{Come, Wish, World, assignment, host, issued, pending, verified};
use crate::software_tpm::{NOW, SoftwareTpm, ek_name};

pub(super) fn a_revoked_device_does_not_come_back(world: &World) {
    let stolen = world.host("web1");
    assert!(world.registry.revoke(1, "stolen", NOW, "uid 0").unwrap());
    assert!(world.registry.revoke(1, "again", NOW, "uid 0").unwrap());
    assert!(!world.registry.revoke(4711, "", NOW, "uid 0").unwrap());
    let proof = verified(&stolen);
    let standing = world.registry.standing(&proof.ek_name).unwrap().unwrap();
    assert!(standing.revoked);
    let list = world.registry.revoked(None, NOW, 60).unwrap().unwrap();
    assert_eq!(list.keys, [proof.key.blob()]);
    let wish = || Wish::new("web1", Some(world.token("web1")));
    assert_eq!(world.enrol(&proof, &wish()), Outcome::Unknown);
    // Nor with another chip's endorsement key, nor with another key of the same chip.
    let mut other = host("web1");
    other.key = stolen.key.clone();
    assert_eq!(world.enrol(&verified(&other), &wish()), Outcome::Unknown);
    let mut other = host("web1");
    (other.ak, other.srk) = (stolen.ak.clone(), stolen.srk.clone());
    assert_eq!(world.enrol(&verified(&other), &wish()), Outcome::Unknown);
    // The name is free.
    assert_eq!(world.rows("principal"), 0);
    issued(world.enrol(&verified(&host("web1")), &wish()));
}

pub(super) fn a_key_with_two_endorsement_keys_is_revoked_with_either(world: &World) {
    let first = world.host("web1");
    let mut second = host("web2");
    second.key = first.key.clone();
    let wish = Wish::new("web2", Some(world.token("web2")));
    issued(world.enrol(&verified(&second), &wish));
    assert!(world.registry.revoke(1, "", NOW, "uid 0").unwrap());
    let come = Come::at(1, &["web2"]);
    assert_eq!(world.renew(&second, &come), Outcome::Unknown);
    assert_eq!((world.rows("revocation"), world.rows("principal")), (1, 0));
}

fn expected(tpm: &SoftwareTpm, name: &str) -> Expected {
    Expected {
        ek_name: ek_name(tpm),
        assignment: assignment(name),
    }
}

pub(super) fn an_import_is_whole_or_nothing(world: &World) {
    let known = world.host("web1");
    let new = host("web2");
    let import = |all: &[Expected]| world.registry.import(all, NOW).unwrap();
    let both = [expected(&new, "web2"), expected(&known, "web9")];
    assert_eq!(import(&both), Some(1));
    assert_eq!(world.rows("device"), 1);
    let both = [expected(&new, "web2"), expected(&known, "web1")];
    assert_eq!(import(&both), None);
    assert_eq!(import(&both), None, "again");
    assert_eq!((world.rows("device"), world.rows("assignment")), (2, 2));
    assert_eq!(import(&[]), None);
    assert!(world.registry.revoke(1, "", NOW, "uid 0").unwrap());
    assert_eq!(import(&both), Some(1), "revoked");
}

pub(super) fn what_was_imported_needs_no_token(world: &World) {
    let tpm = host("web1");
    let import = world.registry.import(&[expected(&tpm, "web1")], NOW);
    assert_eq!(import.unwrap(), None);
    let standing = world.registry.standing(&ek_name(&tpm)).unwrap().unwrap();
    assert_eq!(standing.imported, ["host"]);
    issued(world.enrol(&verified(&tpm), &Wish::new("web1", None)));
    // A device that was waiting for its first approval does not wait any more.
    let waits = host("web2");
    let mut wish = Wish::new("web2", Some(world.token("web2")));
    wish.approve_first = true;
    pending(world.enrol(&verified(&waits), &wish));
    let import = world.registry.import(&[expected(&waits, "web2")], NOW);
    assert_eq!(import.unwrap(), None);
    issued(world.enrol(&verified(&waits), &Wish::new("web2", None)));
}

pub(super) fn the_list_shows_roles_waiting_keys_and_validity(world: &World) {
    assert!(world.registry.devices().unwrap().is_empty());
    let first = world.host("web1");
    for _ in 0..2 {
        let mut rival = host("web1");
        rival.ek = first.ek.clone();
        pending(world.enrol(&verified(&rival), &Wish::new("web1", None)));
    }
    let expect = [expected(&host("web2"), "web2")];
    assert_eq!(world.registry.import(&expect, NOW).unwrap(), None);
    let lines = world.registry.devices().unwrap();
    let shown: Vec<_> = lines
        .iter()
        .map(|line| (line.device, line.name.as_str(), line.pending))
        .collect();
    let device = lines[2].device;
    assert_eq!(
        shown,
        [
            (1, "web1", Some(2)),
            (1, "web1", Some(3)),
            (device, "web2", None)
        ]
    );
    assert_ne!(device, 1);
    assert_eq!(lines[0].ek_name, ek_name(&first).to_string());
    assert_eq!(lines[0].last_seen, Some(NOW));
    assert_eq!(lines[0].valid_until, Some(NOW + 86_400));
    assert_ne!(lines[0].pending_key, lines[1].pending_key);
    assert_eq!((lines[2].last_seen, lines[2].valid_until), (None, None));
    assert_eq!(
        (lines[0].state.as_str(), lines[0].role.as_str()),
        ("active", "host")
    );
    world.registry.revoke(1, "", NOW, "uid 0").unwrap();
    let lines = world.registry.devices().unwrap();
    assert_eq!(
        (lines[0].state.as_str(), lines[0].pending),
        ("revoked", None)
    );
}

pub(super) fn the_authoritys_keys_keep_their_numbers(world: &World) {
    let other = world.again();
    let note =
        |of: &dyn Registry, kind: &str, key: &[u8]| of.ca_key(kind, key, &Custody::default());
    let user = note(&*world.registry, "user", b"a key").unwrap();
    let host = note(&*world.registry, "host", b"another").unwrap();
    assert_ne!(user, host);
    assert_eq!(note(&*other, "user", b"a key").unwrap(), user);
    let refused = note(&*other, "host", b"a key").unwrap_err();
    assert_eq!(
        ssh_format::text::error_line(&refused),
        "the authority's key does not sign: it is known as the key that certifies a user"
    );
}

/// The list of keys has a new number after each change, and a retired key stays in the list of revoked keys.
pub(super) fn the_authoritys_keys_are_published_and_retired(world: &World) {
    let other = world.again();
    let first = world.ca.number;
    let active = |kind: &str| -> Vec<i64> {
        let all = other.ca_keys().unwrap();
        all.active(kind).map(|key| key.id).collect()
    };
    let number = || other.ca_keys().unwrap().number;
    assert_eq!((active("host"), active("user")), (vec![first], vec![]));
    let before = number();
    let retire = |id, force| world.registry.retire_ca_key(id, force).unwrap();
    assert_eq!(retire(4711, true), Retired::Unknown);
    assert!(matches!(retire(first, false), Retired::Last(key) if key.id == first));
    assert_eq!(number(), before, "nothing has changed");

    let custody = Custody {
        place: "agent",
        node: "node2",
    };
    let publish = || world.registry.ca_key("host", b"second", &custody).unwrap();
    let second = publish();
    assert_eq!(active("host"), [first, second]);
    assert_eq!(number(), before + 1);
    assert_eq!(publish(), second, "again");
    assert_eq!(number(), before + 1);
    let shown = other.ca_keys().unwrap().keys.pop().unwrap();
    assert_eq!(
        (shown.custody.as_str(), shown.node.as_str()),
        ("agent", "node2")
    );

    let list = other.revoked(None, NOW, 60).unwrap().unwrap();
    assert!(list.keys.is_empty());
    assert!(matches!(retire(first, false), Retired::Done(key) if key.id == first));
    assert_eq!((active("host"), number()), (vec![second], before + 2));
    let new = other.revoked(Some(list.number), NOW, 60).unwrap().unwrap();
    assert_eq!(new.number, list.number + 1);
    assert_eq!(new.keys, [world.ca.key.blob()]);
    assert_eq!(retire(first, true), Retired::Before);
    let refused = world
        .registry
        .ca_key("host", world.ca.key.blob(), &custody)
        .unwrap_err();
    assert_eq!(
        ssh_format::text::error_line(&refused),
        "the authority's key does not sign: it is retired, for good"
    );
    assert_eq!(number(), before + 2);
    // With `force` the last key is retired as well.
    assert!(matches!(retire(second, true), Retired::Done(_)));
    assert!(active("host").is_empty());
    // After a restore, machines that have a newer list accept the next one.
    let before = number();
    world.registry.restored(&Noted::default(), NOW).unwrap();
    assert!(number() > before + 1000);
}

/// The audit log has the fingerprints of keys that the backup lacks.
pub(super) fn a_restored_registry_revokes_keys_that_it_does_not_know(world: &World) {
    let (known, lost) = (world.host("web1"), host("web2"));
    let (proof, own) = (verified(&lost), verified(&known));
    let noted = |proof: &Verified| NotedRevocation {
        ek_name: proof.ek_name.clone(),
        reason: "stolen".to_owned(),
        made: NOW,
        by: "uid 0".to_owned(),
        keys: [proof.key.fingerprint()].into(),
    };
    let authority = Fingerprint::of_blob(b"lost as well");
    let noted = Noted {
        revocations: vec![noted(&proof), noted(&own)],
        retired: vec![world.ca.key.fingerprint(), authority],
    };
    let done = world.registry.restored(&noted, NOW).unwrap();
    assert_eq!(done.revoked, [proof.ek_name, own.ek_name]);
    let unknown = [proof.key.fingerprint(), authority];
    assert_eq!(done.fingerprints, unknown);
    let mut list = world.again().revoked(None, NOW, 60).unwrap().unwrap();
    list.fingerprints.sort_by_key(|it| *it == authority);
    assert_eq!(list.keys, [own.key.blob()]);
    assert_eq!(list.fingerprints, unknown);
    let again = world.registry.restored(&noted, NOW).unwrap();
    assert!(again.revoked.is_empty() && again.fingerprints.is_empty());
    // The chip has other endorsement keys, with which it must not enrol.
    let mut other = host("web2");
    (other.ak, other.srk) = (lost.ak.clone(), lost.srk.clone());
    (other.parent, other.key) = (lost.parent.clone(), lost.key.clone());
    let wish = Wish::new("web2", Some(world.token("web2")));
    assert_eq!(world.enrol(&verified(&other), &wish), Outcome::Unknown);
    let keys = world.registry.device_keys(&verified(&known).ek_name);
    assert_eq!(
        keys.unwrap(),
        [("host".to_owned(), own.key.blob().to_vec())]
    );
}

/// Two administrators each retire one of two keys at the same time: one key stays.
pub(super) fn one_key_stays_when_two_are_retired_at_once(world: &World) {
    let first = world.ca.number;
    let custody = Custody::default();
    let second = world.registry.ca_key("host", b"second", &custody).unwrap();
    let other = world.again();
    std::thread::scope(|scope| {
        scope.spawn(|| world.registry.retire_ca_key(first, false));
        scope.spawn(|| other.retire_ca_key(second, false));
    });
    let all = world.registry.ca_keys().unwrap();
    assert_eq!(all.active("host").count(), 1);
}

/// Two nodes give out the same list under the same number, and never a smaller number after it.
pub(super) fn the_list_of_revoked_keys_is_the_same_at_all_nodes(world: &World) {
    let other = world.again();
    let list = |of: &dyn Registry, known, now| of.revoked(known, now, 60).unwrap();
    let first = list(&*world.registry, None, NOW).unwrap();
    assert!(first.number > 0 && first.made == NOW && first.keys.is_empty());
    assert_eq!(list(&*other, None, NOW + 59).as_ref(), Some(&first));
    assert_eq!(list(&*other, Some(first.number), NOW + 59), None);
    // There is a new list after some time, and after a revocation.
    let second = list(&*other, Some(first.number), NOW + 60).unwrap();
    assert_eq!((second.number, second.made), (first.number + 1, NOW + 60));
    assert_eq!(
        list(&*world.registry, Some(first.number), NOW + 60).as_ref(),
        Some(&second)
    );
    world.host("web1");
    world.registry.revoke(1, "", NOW, "uid 0").unwrap();
    let third = list(&*other, Some(second.number), NOW + 61).unwrap();
    assert_eq!((third.number, third.keys.len()), (second.number + 1, 1));
    // A node whose clock is behind uses the existing list.
    assert_eq!(list(&*world.registry, None, NOW).as_ref(), Some(&third));
}

/// Names come from files and tokens. No text may be executed as SQL.
pub(super) fn hostile_text_is_text(world: &World) {
    let name = "'; DROP TABLE device; --\\\u{1f600}";
    let tpm = world.host(name);
    let lines = world.registry.devices().unwrap();
    assert_eq!(lines[0].name, name);
    assert_eq!(world.bound(&tpm)[0].assignment.name, name);
    assert!(world.registry.revoke(1, name, NOW, name).unwrap());
}
