//! Fifty requests at once, on two nodes.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use ca_server::policy::Rebind;
use ca_server::registry::Outcome;
use ca_server::{Refusal, registry::Registry};

use super::world::{Come, Wish, World, host, issued, random, verified};
use crate::software_tpm::NOW;

const MANY: usize = 50;

/// Calls `one` for each number, all at once, and returns the results.
fn at_once<T: Send>(one: impl Fn(usize) -> T + Sync) -> Vec<T> {
    thread::scope(|scope| {
        let one = &one;
        let all: Vec<_> = (0..MANY)
            .map(|number| scope.spawn(move || one(number)))
            .collect();
        all.into_iter().map(|it| it.join().unwrap()).collect()
    })
}

/// How many got a certificate. A busy registry may refuse a request as unavailable; other outcomes have to be in `others`.
fn count(outcomes: &[Result<Outcome, Refusal>], others: &[Outcome]) -> usize {
    let mut issued = 0;
    for outcome in outcomes {
        match outcome {
            Ok(Outcome::Issued(_)) => issued += 1,
            Ok(other) => assert!(others.contains(other), "{other:?}"),
            Err(Refusal::Unavailable(_)) => {}
            Err(err) => panic!("{err}"),
        }
    }
    issued
}

pub(super) fn one_token_lets_in_one_of_fifty(world: &World) {
    let token = world.token("web1");
    let proofs: Vec<_> = (0..MANY).map(|_| verified(&host("web1"))).collect();
    let outcomes =
        at_once(|number| world.try_enrol(&proofs[number], &Wish::new("web1", Some(token))));
    assert_eq!(count(&outcomes, &[Outcome::NoToken, Outcome::NameTaken]), 1);
    for table in ["issued", "principal", "device", "binding"] {
        assert_eq!(world.rows(table), 1, "{table}");
    }
}

pub(super) fn one_name_goes_to_one_of_fifty(world: &World) {
    let all: Vec<_> = (0..MANY)
        .map(|_| (verified(&host("web1")), world.token("web1")))
        .collect();
    let outcomes = at_once(|number| {
        let (proof, token) = &all[number];
        world.try_enrol(proof, &Wish::new("web1", Some(*token)))
    });
    assert_eq!(count(&outcomes, &[Outcome::NameTaken]), 1);
    for table in ["issued", "principal", "device", "binding"] {
        assert_eq!(world.rows(table), 1, "{table}");
    }
}

pub(super) fn one_device_gets_one_of_fifty_keys(world: &World) {
    let first = host("web1");
    let proofs: Vec<_> = (0..MANY)
        .map(|_| {
            let mut tpm = host("web1");
            tpm.ek = first.ek.clone();
            verified(&tpm)
        })
        .collect();
    let tokens: Vec<_> = (0..2).map(|_| world.token("web1")).collect();
    let outcomes = at_once(|number| {
        let mut wish = Wish::new("web1", tokens.get(number).copied());
        wish.rebind = Rebind::Approve;
        world.try_enrol(&proofs[number], &wish)
    });
    let mut got = 0;
    for outcome in outcomes {
        match outcome {
            Ok(Outcome::Issued(_)) => got += 1,
            Ok(Outcome::Pending(_) | Outcome::Unknown) | Err(Refusal::Unavailable(_)) => {}
            other => panic!("{other:?}"),
        }
    }
    // Each of the two tokens allows a new key, so the last one counts.
    assert!((1..=2).contains(&got), "{got}");
    let active = world.rows("binding WHERE state = 'active'");
    assert_eq!((active, world.rows("principal")), (1, 1));
    assert_eq!(world.rows("device"), 1);
}

pub(super) fn one_nonce_is_answered_once_by_fifty(world: &World) {
    let tpm = world.host("web1");
    let bound = world.bound(&tpm)[0].clone();
    let nonce = random();
    let outcomes = at_once(|number| {
        let come = Come {
            nonce,
            body: [u8::try_from(number).unwrap(); 32],
            ..Come::at(5, &["web1"])
        };
        world.try_renew(&bound, &come)
    });
    assert_eq!(count(&outcomes, &[Outcome::NonceUsed]), 1);
    assert_eq!(world.rows("issued"), 2);
}

pub(super) fn one_answer_that_comes_fifty_times_has_one_certificate(world: &World) {
    let tpm = world.host("web1");
    let bound = world.bound(&tpm)[0].clone();
    let come = Come::at(5, &["web1"]);
    let outcomes = at_once(|_| world.try_renew(&bound, &come));
    let certificates: BTreeSet<Vec<u8>> = outcomes
        .into_iter()
        .filter(|it| !matches!(it, Err(Refusal::Unavailable(_))))
        .map(|it| issued(it.unwrap()))
        .collect();
    assert_eq!(certificates.len(), 1);
    assert_eq!(world.rows("issued"), 2);
}

pub(super) fn fifty_renewals_of_one_key_only_move_forward(world: &World) {
    let tpm = world.host("web1");
    let bound = world.bound(&tpm)[0].clone();
    let outcomes = at_once(|number| {
        let come = Come::at(10 + u64::try_from(number).unwrap(), &["web1", "www"]);
        world.try_renew(&bound, &come)
    });
    let issued = count(&outcomes, &[Outcome::TimeWentBack]);
    assert!(issued > 0);
    assert_eq!(world.rows("issued"), 1 + i64::try_from(issued).unwrap());
    let last = outcomes
        .iter()
        .rposition(|it| matches!(it, Ok(Outcome::Issued(_))))
        .unwrap();
    let last = u64::try_from(last).unwrap();
    let back = world.renew(&tpm, &Come::at(9 + last, &["web1"]));
    assert_eq!(back, Outcome::TimeWentBack);
    super::world::issued(world.renew(&tpm, &Come::at(10 + last, &["web1"])));
}

pub(super) fn nothing_is_issued_after_a_revocation(world: &World) {
    let hosts: Vec<_> = (0..4)
        .map(|number| {
            let tpm = world.host(&format!("web{number}"));
            world.bound(&tpm)[0].clone()
        })
        .collect();
    let other = world.again();
    let revoked: Vec<AtomicBool> = (0..4).map(|_| AtomicBool::new(false)).collect();
    thread::scope(|scope| {
        for (number, bound) in hosts.iter().enumerate() {
            let revoked = &revoked[number];
            scope.spawn(move || {
                let mut clock = 0;
                loop {
                    clock += 1;
                    let was_revoked = revoked.load(Ordering::SeqCst);
                    match world.try_renew(bound, &Come::at(clock, &[])) {
                        Ok(Outcome::Issued(_)) => assert!(!was_revoked),
                        Ok(Outcome::Unknown) if was_revoked => break,
                        Ok(Outcome::Unknown) | Err(Refusal::Unavailable(_)) => {}
                        other => panic!("{other:?}"),
                    }
                }
            });
        }
        for (number, bound) in hosts.iter().enumerate() {
            let lines = other.devices().unwrap();
            let line = lines.iter().find(|it| it.name == bound.assignment.name);
            let device = line.unwrap().device;
            let done = || other.revoke(device, "", NOW, "uid 0");
            while done().is_err() {}
            revoked[number].store(true, Ordering::SeqCst);
        }
    });
    let list = world.registry.revoked(None, NOW, 60).unwrap().unwrap();
    assert_eq!(list.keys.len(), 4);
}

pub(super) fn fifty_who_ask_for_the_list_get_one(world: &World) {
    world.host("web1");
    world.registry.revoke(1, "", NOW, "uid 0").unwrap();
    let other = world.again();
    let lists = at_once(|number| {
        let of: &dyn Registry = if number % 2 == 0 {
            &*world.registry
        } else {
            &*other
        };
        of.revoked(None, NOW, 60).unwrap().unwrap()
    });
    assert!(lists.iter().all(|it| *it == lists[0]));
    assert_eq!((lists[0].number, lists[0].keys.len()), (1, 1));
}
