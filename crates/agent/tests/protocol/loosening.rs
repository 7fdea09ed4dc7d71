//! Conditions of keys, and who lifts them: a person, or the PIN of the token, and nothing else.

use std::fs;
use std::time::Duration;

use agent::Policy;
use testing::{AgentClient, message};
use tpm_core::KeyType;

use crate::host::Host;
use crate::keys::{add, hops, only_to};
use crate::served::{
    FAILURE, Fixture, PIN, REMOVE_ALL, SUCCESS, Served, blobs, eventually, extension, sign,
};

const CONFIRM: &[u8] = &[2];

fn lifetime(seconds: u32) -> Vec<u8> {
    [&[1], &seconds.to_be_bytes()[..]].concat()
}

/// `ssh-add -s tpmssh:t` with this PIN and these conditions.
fn add_with(pin: &str, constraints: &[u8]) -> Vec<u8> {
    let mut request = message(26, &[b"tpmssh:t", pin.as_bytes()]);
    request.extend(constraints);
    request
}

/// Asks as if to a person who says no, and notes the question.
const SAYS_NO: &str = "printf '%s\\n' \"$1\" >>\"${0%/*}/asked\"; exit 1";
const SAYS_YES: &str = "printf '%s\\n' \"$1\" >>\"${0%/*}/asked\"; exit 0";

fn asked(agent: &Served) -> String {
    fs::read_to_string(agent.fixture.dir.path().join("asked")).unwrap_or_default()
}

/// Every way by which a program could get from some conditions to looser ones without a person.
#[test]
fn no_way_of_adding_a_key_again_loosens_a_condition_without_a_person() {
    let (one, two) = (Host::new(1), Host::new(2));
    let both = hops(&[(None, &one), (None, &two)]);
    let confirmed_there = [CONFIRM, &only_to(&one)].concat();
    for (what, before, after) in [
        ("no confirmation", CONFIRM.to_vec(), vec![]),
        ("a time instead", CONFIRM.to_vec(), lifetime(60)),
        ("no end", lifetime(60), vec![]),
        ("a later end", lifetime(60), lifetime(600)),
        ("a time that is over", lifetime(0), lifetime(60)),
        ("anywhere", only_to(&one), vec![]),
        ("elsewhere", only_to(&one), only_to(&two)),
        ("elsewhere as well", only_to(&one), both),
        ("unconfirmed there", confirmed_there, only_to(&one)),
    ] {
        let agent = Fixture::new(&[KeyType::EccP256]).askpass(SAYS_NO).serve();
        let mut client = agent.client();
        let mut questions = 0;
        for way in [
            &[][..],
            // Removed one by one, by the token, and all.
            &[message(18, &[agent.key()])],
            &[message(21, &[b"tpmssh:t", b""])],
            &[REMOVE_ALL.to_vec()],
            // Locked and unlocked meanwhile; the logins ended.
            &[message(22, &[b"sesame"]), message(23, &[b"sesame"])],
            &[extension("lock@tpmssh", b"")],
        ] {
            // Conditions are first as they were: nothing below got through.
            if questions == 0 {
                assert_eq!(client.ask(&add(&before)), SUCCESS, "{what}");
            }
            let there = blobs(&mut client).len();
            for request in way {
                // A key whose time is over is no key that could be removed.
                client.ask(request);
            }
            let added = [
                add(&after),
                message(26, &[b"tpmssh", b""]),
                message(20, &[b"tpmssh:t", b""]),
            ];
            // The last two are without any condition.
            for request in &added {
                assert_eq!(client.ask(request), FAILURE, "{what} after {way:?}");
                questions += 1;
            }
            assert_eq!(
                asked(&agent).matches("Loosen the conditions").count(),
                questions
            );
            assert!(blobs(&mut client).len() <= there);
            // A token without a PIN is not opened by one, so it proves nothing.
            assert_eq!(client.ask(&add_with("1234", &after)), FAILURE, "{what}");
            questions += 1;
        }
        eventually(|| {
            agent
                .log()
                .contains("which takes the PIN or a yes: it was declined")
        });
    }
}

#[test]
fn what_is_as_strict_or_stricter_asks_nobody() {
    let agent = Fixture::new(&[KeyType::EccP256]).askpass(SAYS_NO).serve();
    let mut client = agent.client();
    let host = Host::new(1);
    let mut all = Vec::new();
    for condition in [CONFIRM.to_vec(), only_to(&host), lifetime(3600)] {
        all.extend(condition);
        assert_eq!(client.ask(&add(&all)), SUCCESS);
    }
    let mut shorter = [CONFIRM, &only_to(&host)].concat();
    shorter.extend(lifetime(60));
    assert_eq!(client.ask(&add(&shorter)), SUCCESS);
    assert_eq!(client.ask(&message(18, &[agent.key()])), SUCCESS);
    assert_eq!(
        client.ask(&add(&shorter[..shorter.len() - 5])),
        FAILURE,
        "no end"
    );
    assert_eq!(asked(&agent).matches("Loosen").count(), 1);
}

#[test]
fn a_person_who_says_yes_is_told_what_was_and_what_will_be() {
    let agent = Fixture::new(&[KeyType::EccP256; 5])
        .askpass(SAYS_YES)
        .serve();
    let mut client = agent.client();
    assert_eq!(
        client.ask(&add(&[CONFIRM, &lifetime(3600)].concat())),
        SUCCESS
    );
    assert_eq!(client.ask(&add(&[])), SUCCESS);
    let question = asked(&agent);
    let me = format!("(process {})", std::process::id());
    for part in [
        "Loosen the conditions of keys?\nfor ",
        &me,
        "\nKey \"key 0\" SHA256:",
        "\nnow: each use confirmed, for 3600 s; then: no condition\n",
        "\nand 2 more\n",
    ] {
        assert!(question.contains(part), "{part} is not in {question}");
    }
    assert_eq!(client.ask(&sign(agent.key(), b"data", 0))[0], 14);
    assert_eq!(asked(&agent), question, "the use is not confirmed any more");
}

/// Nobody can be asked, so only the right PIN will do; and it does so for its own token alone.
#[test]
fn the_pin_of_the_token_loosens_its_conditions() {
    let agent = Fixture::with_pin().serve();
    let mut client = agent.client();
    assert_eq!(client.ask(&add(CONFIRM)), SUCCESS);
    assert_eq!(client.ask(&add(&[])), FAILURE);
    eventually(|| agent.log().contains("no way to ask"));
    assert_eq!(client.ask(&add_with("wrong", &[])), FAILURE);
    assert_eq!(agent.fixture.tries_left(), 2);
    let signs = |client: &mut AgentClient| client.ask(&sign(agent.key(), b"data", 0))[0] == 14;
    assert!(!signs(&mut client));
    assert_eq!(client.ask(&add_with(PIN, CONFIRM)), SUCCESS);
    assert!(!signs(&mut client), "open, and not confirmed");
    // That the token is open is no proof of who asks.
    assert_eq!(client.ask(&add(&[])), FAILURE);
    assert!(!signs(&mut client));
    assert_eq!(client.ask(&add_with(PIN, &[])), SUCCESS);
    assert!(signs(&mut client));
}

/// While a person looks at the question, the key gets a stricter condition: the yes is not for
/// lifting that one.
#[test]
fn a_yes_is_for_what_was_asked_and_not_for_what_came_meanwhile() {
    let script = "printf '%s\\n' \"$1\" >>\"${0%/*}/asked\"
        until [ -e \"${0%/*}/go\" ]; do sleep 0.01; done; [ ! -e \"${0%/*}/no\" ]";
    let agent = Fixture::new(&[KeyType::EccP256])
        .askpass(script)
        .policy(Policy::UntilLocked)
        .patience(Duration::from_secs(60))
        .serve();
    let here = |name: &str| agent.fixture.dir.path().join(name);
    let mut client = agent.client();
    assert_eq!(client.ask(&add(&lifetime(3600))), SUCCESS);
    let mut asking = agent.client();
    asking.send_message(&add(&[]));
    eventually(|| here("asked").exists());
    let stricter = [CONFIRM, &lifetime(60)].concat();
    assert_eq!(client.ask(&add(&stricter)), SUCCESS);
    fs::write(here("go"), "").unwrap();
    eventually(|| asked(&agent).contains("each use confirmed"));
    let answer = asking.receive().unwrap();
    assert_eq!(answer, SUCCESS, "asked again, and agreed to");
    assert_eq!(asked(&agent).matches("Loosen").count(), 2);
}
