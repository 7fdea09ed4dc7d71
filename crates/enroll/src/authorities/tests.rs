use p256::ecdsa::signature::Signer;
use p256::ecdsa::{Signature as Numbers, SigningKey};
use rand_core::OsRng;
use ssh_format::{Curve, PublicKey, Signature};

use super::*;

const AUDIENCE: &str = "https://ca.example/";
const NOW: u64 = 1_795_000_000;

struct Pair(SigningKey);

impl Pair {
    fn new() -> Self {
        Self(SigningKey::random(&mut OsRng))
    }

    fn key(&self) -> AnyKey {
        let point = self.0.verifying_key().to_encoded_point(false);
        let key = PublicKey::ecdsa(Curve::NistP256, point.x().unwrap(), point.y().unwrap());
        AnyKey::from_blob(key.unwrap().blob()).unwrap()
    }

    /// A signature file over `list`.
    fn sign_as(&self, namespace: &str, list: &str) -> String {
        let digest = SigHash::Sha512.of(list.as_bytes()).unwrap();
        let data = SshSig::to_sign(namespace, SigHash::Sha512, &digest).unwrap();
        let numbers: Numbers = self.0.sign(&data);
        let (r, s) = numbers.split_bytes();
        let signature = Signature::ecdsa(Curve::NistP256, &r, &s).unwrap();
        let file = SshSig::new(self.key(), namespace, SigHash::Sha512, &signature);
        file.unwrap().armored()
    }

    fn sign(&self, list: &str) -> String {
        self.sign_as(NAMESPACE, list)
    }
}

fn list(number: u64, users: &[&Pair], hosts: &[&Pair]) -> String {
    let mut list = format!("{FORMAT}\naudience {AUDIENCE}\nnumber {number}\nmade {NOW}\n");
    for (word, pairs) in [("user", users), ("host", hosts)] {
        for pair in pairs {
            list += &format!("{word} {}\n", pair.key().line("").trim_end());
        }
    }
    list
}

fn signed(list: &str, by: &[&Pair]) -> SignedKeys {
    SignedKeys {
        list: list.to_owned(),
        signatures: by.iter().map(|pair| pair.sign(list)).collect(),
    }
}

#[track_caller]
fn refused(trusted: &Authorities, signed: &SignedKeys, why: &str) {
    let err = trusted.successor(signed, AUDIENCE, NOW).unwrap_err();
    assert!(err.to_string().contains(why), "{err}");
}

/// A new key is published, is then trusted to sign the next list, and the old key is retired.
#[test]
fn keys_come_and_go_under_a_signature_that_is_known() {
    let (user, old, new) = (Pair::new(), Pair::new(), Pair::new());
    let given = Authorities::given(vec![user.key()], vec![old.key()]);
    let both = list(7, &[&user], &[&old, &new]);
    // One signature by a known key is enough.
    let next = given.successor(&signed(&both, &[&new, &old]), AUDIENCE, NOW);
    let next = next.unwrap();
    assert_eq!((next.number, &next.hosts), (7, &vec![old.key(), new.key()]));
    let retired = signed(&list(8, &[&user], &[&new]), &[&new]);
    let last = next.successor(&retired, AUDIENCE, NOW).unwrap();
    assert_eq!((last.number, &last.hosts), (8, &vec![new.key()]));
    assert_eq!(last.successor(&retired, AUDIENCE, NOW).unwrap(), last);
    // An old list does not bring the retired key back.
    let replayed = signed(&both, &[&old, &new]);
    refused(&last, &replayed, "older than the one that was taken last");
    // The retired key cannot sign a new list.
    let by_old = signed(&list(9, &[&user], &[&old]), &[&old]);
    refused(&last, &by_old, STRANGER);
    // A machine that knows only the retired key cannot follow.
    refused(&given, &retired, STRANGER);
}

#[test]
fn forged_shortened_and_old_lists_are_refused() {
    let (user, host, stranger) = (Pair::new(), Pair::new(), Pair::new());
    let trusted = Authorities {
        number: 3,
        ..Authorities::given(vec![user.key()], vec![host.key()])
    };
    let good = list(4, &[&user], &[&host]);
    assert!(
        trusted
            .successor(&signed(&good, &[&host]), AUDIENCE, NOW)
            .is_ok()
    );
    refused(&trusted, &signed(&good, &[&stranger]), STRANGER);
    refused(&trusted, &signed(&good, &[&user]), STRANGER);
    refused(&trusted, &signed(&good, &[]), STRANGER);

    // The signature is wrong for every shortened list, and for a list with one more key.
    let shortened = good
        .match_indices('\n')
        .map(|(at, _)| good[..at].to_owned());
    let longer = format!("{good}host {}\n", stranger.key().line("").trim_end());
    for changed in shortened.chain([longer, String::new()]) {
        let forged = SignedKeys {
            list: changed,
            signatures: vec![host.sign(&good)],
        };
        refused(&trusted, &forged, "its signature is wrong");
    }
    // A signature with the namespace of another kind of file.
    let other = SignedKeys {
        list: good.clone(),
        signatures: vec![host.sign_as("krl@tpmssh", &good)],
    };
    refused(&trusted, &other, "its signature is wrong");

    // Lists with a good signature and wrong contents.
    let by_host = |list: &str| signed(list, &[&host]);
    let line = format!("user {}\n", user.key().line("").trim_end());
    for (changed, why) in [
        (list(4, &[], &[&host]), "no key for users"),
        (list(4, &[&user], &[]), "none for hosts"),
        (
            list(4, &[&user, &host], &[&host]),
            "for users and for hosts",
        ),
        (list(2, &[&user], &[&host]), "older than the one"),
        (
            list(3, &[&user], &[&host, &stranger]),
            "under the same number",
        ),
        (
            good.replace(AUDIENCE, "https://other/"),
            "another authority",
        ),
        (good.replace(FORMAT, "tpmssh-ca-keys-v2"), "another format"),
        (good.replace("number 4\n", ""), "another format"),
        (
            good.replace("number 4\n", "number 4\nnumber 5\n"),
            "another format",
        ),
        (good.replace("number 4\n", "number -4\n"), "another format"),
        (format!("{good}until 5\n"), "another format"),
        (
            good.replace(&line, "user ssh-nothing AAAA\n"),
            "not what it should be",
        ),
        (
            good.replace(&format!("{NOW}"), &format!("{}", NOW - MAX_AGE - 1)),
            "more than a day ago",
        ),
        (
            good.replace(&format!("{NOW}"), &format!("{}", NOW + SKEW + 1)),
            "from the future",
        ),
    ] {
        refused(&trusted, &by_host(&changed), why);
    }
}
