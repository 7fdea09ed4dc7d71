//! The form of a challenge: one that was cut, extended or made for another kind of key is refused before a TPM gets it.

use key_proof::{Challenge, DEFAULT_LIFETIME, MAX_LIFETIME, PublicArea};
use rand_core::OsRng;

use crate::{
    pair::sized,
    software_tpm::{Ek, NOW, SoftwareTpm, any_tpm, ticket_key},
};

fn for_key(ek: Ek) -> (Challenge, PublicArea) {
    let mut tpm = SoftwareTpm::new();
    tpm.ek = ek.area();
    let area = PublicArea::parse(&tpm.ek.bytes()).unwrap();
    (tpm.challenge(), area)
}

/// Keys with the same algorithm and hash, which the form of a challenge does not tell apart.
fn kind(ek: Ek) -> u8 {
    match ek {
        Ek::Rsa2048 | Ek::Rsa2048High => 0,
        Ek::P256 | Ek::P256High => 1,
        Ek::P384 => 2,
        Ek::Rsa3072 => 3,
    }
}

#[track_caller]
fn refused(challenge: &Challenge, ek: &PublicArea) -> String {
    challenge.check_form(ek).unwrap_err().to_string()
}

#[test]
fn a_challenge_has_the_form_of_one_for_its_endorsement_key_alone() {
    for ek in Ek::ALL {
        let (challenge, area) = for_key(ek);
        challenge.check_form(&area).unwrap();
        for other in Ek::ALL {
            let (_, other_area) = for_key(other);
            let is_same = kind(ek) == kind(other);
            assert_eq!(
                challenge.check_form(&other_area).is_ok(),
                is_same,
                "{ek:?} {other:?}"
            );
        }
    }
}

/// `tpmssh ca challenge` says "a day", and "7 days at most".
#[test]
fn a_challenge_is_good_for_as_long_as_it_was_made_for_and_at_most_for_a_week() {
    const DAY: u64 = 24 * 60 * 60;
    assert_eq!((DEFAULT_LIFETIME, MAX_LIFETIME), (DAY, 7 * DAY));
    let checked = SoftwareTpm::new().checked(&any_tpm()).unwrap();
    let until = |lifetime| {
        let made = Challenge::new(&checked, &ticket_key(), NOW, lifetime, &mut OsRng);
        made.unwrap().expires - NOW
    };
    assert_eq!(until(120), 120);
    assert_eq!(until(7 * DAY), 7 * DAY);
    assert_eq!(until(7 * DAY + 1), 7 * DAY);
    assert_eq!(until(u64::MAX), 7 * DAY);
}

#[test]
fn a_secret_of_another_length_is_malformed() {
    const LENGTH: &str = "malformed secret of the challenge: its length is not that of one for \
                          this endorsement key";
    let (right, area) = for_key(Ek::Rsa2048);
    for len in [0, 1, 255, 257, 20_000] {
        let mut challenge = right.clone();
        challenge.secret.resize(len, 1);
        assert_eq!(refused(&challenge, &area), LENGTH, "{len}");
    }
    let (right, area) = for_key(Ek::P384);
    for (x, y, passes) in [
        (48, 48, true),
        (1, 1, true),
        (0, 48, false),
        (48, 0, false),
        (49, 48, false),
        (48, 49, false),
    ] {
        let mut challenge = right.clone();
        challenge.secret = [sized(&vec![1; x]), sized(&vec![1; y])].concat();
        let result = challenge.check_form(&area);
        assert_eq!(result.is_ok(), passes, "{x} {y}");
        if !passes {
            assert_eq!(refused(&challenge, &area), LENGTH);
        }
    }
    let mut longer = right.clone();
    longer.secret.push(0);
    assert_eq!(
        refused(&longer, &area),
        "malformed secret of the challenge: bytes are left over"
    );
    let mut shorter = right;
    shorter.secret.pop();
    assert_eq!(
        refused(&shorter, &area),
        "malformed secret of the challenge: it ends too early"
    );
}

#[test]
fn an_id_object_of_another_length_is_malformed() {
    for (ek, size) in [(Ek::P256, 32), (Ek::P384, 48)] {
        let (right, area) = for_key(ek);
        // A verifier may choose a secret of one byte, and one as long as the hash.
        for (mac, identity, passes) in [
            (size, 2 + 1, true),
            (size, 2 + size, true),
            (size, 2, false),
            (size, 0, false),
            (size, 3 + size, false),
            (size - 1, 2 + size, false),
            (size + 1, 2 + size, false),
            (0, 2 + size, false),
        ] {
            let mut challenge = right.clone();
            challenge.id_object = [sized(&vec![1; mac]), vec![1; identity]].concat();
            let result = challenge.check_form(&area);
            assert_eq!(result.is_ok(), passes, "{mac} {identity}");
            if !passes {
                assert_eq!(
                    refused(&challenge, &area),
                    "malformed id_object of the challenge: its length is not that of one for this \
                     endorsement key"
                );
            }
        }
        let mut cut = right;
        cut.id_object.truncate(size);
        assert_eq!(
            refused(&cut, &area),
            "malformed id_object of the challenge: it ends too early"
        );
    }
}
