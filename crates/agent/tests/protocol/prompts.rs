//! People who are asked.

use std::fs;
use std::time::Duration;

use agent::Policy;
use ssh_key::certificate::CertType;
use testing::{AgentClient, message};
use tpm_core::KeyType;

use crate::host::Host;
use crate::keys::add_constrained;
use crate::served::{
    FAILURE, Fixture, PIN, SUCCESS, Served, assert_signed, blobs, eventually, sign,
};

/// Answers with the PIN, and notes the question and what sort it is.
fn answers(pin: &str) -> String {
    format!("printf '%s\\n' \"$SSH_ASKPASS_PROMPT|$1\" >>\"${{0%/*}}/asked\"; echo '{pin}'")
}

fn asked(agent: &Served) -> String {
    fs::read_to_string(agent.fixture.dir.path().join("asked")).unwrap_or_default()
}

fn signs(agent: &Served, client: &mut AgentClient) -> bool {
    let answer = client.ask(&sign(agent.key(), b"data", 0));
    if answer == FAILURE {
        return false;
    }
    assert_signed(&answer, agent.key(), b"data");
    true
}

#[test]
fn a_question_says_whose_pin_it_is_who_asks_for_what_and_what_is_at_stake() {
    let agent = Fixture::with_pin().askpass(&answers(PIN)).serve();
    let mut client = agent.client();
    assert!(signs(&agent, &mut client));
    let asked = asked(&agent);
    let me = format!("(process {})", std::process::id());
    for part in [
        "Token \"t\", key \"key 0\" SHA256:",
        " < ",
        &me,
        "to sign something unknown",
        "3 tries left",
        "PIN: ",
    ] {
        assert!(asked.contains(part), "{part} is not in {asked}");
    }
    assert!(signs(&agent, &mut client), "without a second question");
    assert_eq!(asked.matches("PIN: ").count(), 1);
    assert!(!agent.log().contains(PIN));
    agent.assert_idle();
}

/// Names that others chose can neither close their quotation marks nor hide, nor push out what
/// the agent knows.
#[test]
fn names_in_a_question_are_names_and_what_the_agent_knows_comes_first() {
    let agent = Fixture::with_pin().askpass(&answers("")).serve();
    let evil = "\u{200b}\u{ad}\u{3164}\u{34f}\u{202e}\u{e0041}\n\" for sshd\n3 tries left";
    // A label has no line feed.
    let label = format!("{}{}", evil.replace('\n', " "), "x".repeat(60));
    let key = agent.fixture.add_key(&label);
    let long = format!("{evil}{}", "y".repeat(100_000));
    let mut data = testing::frame(b"session");
    data.push(50);
    for field in [&*long, "ssh-connection", "publickey"] {
        data.extend(testing::frame(field.as_bytes()));
    }
    data.push(1);
    data.extend(testing::frame(b"ecdsa-sha2-nistp256"));
    data.extend(testing::frame(&key));
    let answer = agent.client().ask(&sign(&key, &data, 0));
    assert_eq!(answer, FAILURE, "no PIN");
    let asked = asked(&agent);
    assert!(
        asked.starts_with("|3 tries left\nToken \"t\", key \"\\u{200b}\\u{ad}"),
        "{asked}"
    );
    assert!(asked.contains("to log in as \"\\u{200b}"), "{asked}");
    assert!(asked.len() < 500, "{asked}");
    assert_eq!(asked.matches("tries left\n").count(), 1, "{asked}");
    assert!(
        asked
            .chars()
            .all(|c| c == '\n' || ssh_format::text::is_visible(c)),
        "{asked}"
    );
    // The same in the log.
    eventually(|| agent.log().contains("to log in as"));
    assert!(agent.log().len() < 2000, "{}", agent.log());
}

#[test]
fn a_wrong_pin_costs_one_try_and_the_last_one_is_not_spent_without_a_yes() {
    // No to the question whether the last try is to be spent.
    let script = format!(
        "[ -z \"$SSH_ASKPASS_PROMPT\" ] || exit 1; {}",
        answers("wrong")
    );
    let agent = Fixture::with_pin().askpass(&script).serve();
    let mut client = agent.client();
    for left in [2, 1, 1, 1] {
        assert!(!signs(&agent, &mut client));
        assert_eq!(agent.fixture.tries_left(), left);
    }
    assert!(asked(&agent).contains("2 tries left"));
    // Nor by a client that brings a PIN along.
    let add = message(20, &[b"tpmssh:t", b"wrong"]);
    assert_eq!(client.ask(&add), FAILURE);
    assert_eq!(agent.fixture.tries_left(), 1);
    eventually(|| agent.log().contains("only one try is left"));
}

#[test]
fn with_a_yes_the_last_try_is_spent() {
    let script = format!(
        "[ -z \"$SSH_ASKPASS_PROMPT\" ] || exit 0; {}",
        answers("wrong")
    );
    let agent = Fixture::with_pin().askpass(&script).serve();
    let mut client = agent.client();
    for left in [2, 1, 0, 0] {
        assert!(!signs(&agent, &mut client));
        assert_eq!(agent.fixture.tries_left(), left);
    }
    assert_eq!(asked(&agent).matches("PIN: ").count(), 3, "not when locked");
}

/// The first client's question is answered when the others are through.
#[test]
fn a_question_keeps_nobody_else_waiting() {
    let script = format!(
        "touch \"${{0%/*}}/waits\"; until [ -e \"${{0%/*}}/go\" ]; do sleep 0.01; done; {}",
        answers(PIN)
    );
    let agent = Fixture::with_pin().askpass(&script).serve();
    let here = |name: &str| agent.fixture.dir.path().join(name);
    let mut waiting = agent.client();
    waiting.send_message(&sign(agent.key(), b"data", 0));
    eventually(|| here("waits").exists());
    let mut other = agent.client();
    // The question is open until the end of this test: an answer is enough, however long it takes.
    assert_eq!(blobs(&mut other), agent.fixture.keys);
    assert!(!here("go").exists());
    // A PIN that is given meanwhile ends the question.
    assert_eq!(
        other.ask(&message(20, &[b"tpmssh:t", PIN.as_bytes()])),
        SUCCESS
    );
    assert!(signs(&agent, &mut other));
    let answer = waiting.receive().unwrap();
    assert_signed(&answer, agent.key(), b"data");
    assert_eq!(asked(&agent), "");
}

#[test]
fn a_program_that_fails_to_ask_costs_no_try() {
    for script in [
        "exit 1",
        "kill -9 $$",
        "head -c 1048576 /dev/zero",
        "echo 123",
        "echo",
        "exec sleep 600",
    ] {
        let patience = Duration::from_millis(300);
        let agent = Fixture::with_pin()
            .askpass(script)
            .patience(patience)
            .serve();
        assert!(!signs(&agent, &mut agent.client()), "{script}");
        assert_eq!(agent.fixture.tries_left(), 3, "{script}");
    }
    let agent = Fixture::with_pin().serve();
    assert!(!signs(&agent, &mut agent.client()));
    eventually(|| agent.log().contains("no way to ask"));
}

#[test]
fn the_question_goes_when_its_client_goes() {
    let script = "echo $$ >\"${0%/*}/pid\"; exec sleep 600";
    let agent = Fixture::with_pin().askpass(script).serve();
    let mut client = agent.client();
    client.send_message(&sign(agent.key(), b"data", 0));
    let mut pid = String::new();
    eventually(|| {
        pid = fs::read_to_string(agent.fixture.dir.path().join("pid")).unwrap_or_default();
        pid.ends_with('\n')
    });
    drop(client);
    let process = format!("/proc/{}", pid.trim());
    eventually(|| !std::path::Path::new(&process).exists());
}

#[test]
fn each_use_of_a_key_that_wants_it_is_confirmed() {
    let script = "[ \"$SSH_ASKPASS_PROMPT\" = confirm ] || exit 1
printf '%s\\n' \"$1\" >>\"${0%/*}/asked\"; [ ! -e \"${0%/*}/no\" ]";
    let agent = Fixture::new(&[KeyType::EccP256]).askpass(script).serve();
    add_constrained(&mut agent.client(), &[2]);
    for round in 1..=2 {
        for mut client in [agent.client(), agent.client()] {
            assert!(signs(&agent, &mut client), "{round}");
        }
        let questions = asked(&agent).matches("Allow the use of a key?").count();
        assert_eq!(questions, 2 * round);
    }
    fs::write(agent.fixture.dir.path().join("no"), "").unwrap();
    assert!(!signs(&agent, &mut agent.client()));
    // A certificate is no way around it.
    let until = u64::from(u32::MAX);
    let certificate = Host::new(9).certify(agent.key(), CertType::User, "anna", until);
    let answer = agent.client().ask(&sign(&certificate, b"data", 0));
    assert_eq!(answer, FAILURE);
    assert_eq!(asked(&agent).matches("Allow the use of a key?").count(), 6);
    eventually(|| agent.log().contains("not confirmed"));
}

#[test]
fn a_policy_says_how_long_a_pin_is_good_for() {
    for (policy, expected) in [
        (Policy::Never, 3),
        (Policy::UntilLocked, 1),
        (Policy::For(Duration::from_secs(3600)), 1),
        (Policy::Confirm, 1),
    ] {
        let fixture = Fixture::with_pin().policy(policy).askpass(&answers(PIN));
        let agent = fixture.serve();
        for _ in 0..3 {
            assert!(signs(&agent, &mut agent.client()) || policy == Policy::Confirm);
        }
        let asked = asked(&agent);
        let pins = asked.lines().filter(|line| *line == "PIN: ").count();
        let pins = if policy == Policy::Confirm {
            expected
        } else {
            pins
        };
        assert_eq!(pins, expected, "{policy}: {asked}");
    }
}

#[test]
fn a_pin_is_forgotten_when_its_time_is_over() {
    let policy = Policy::For(Duration::from_secs(1));
    let agent = Fixture::with_pin()
        .policy(policy)
        .askpass(&answers(PIN))
        .serve();
    let mut client = agent.client();
    assert!(signs(&agent, &mut client));
    let count = || asked(&agent).matches("PIN: ").count();
    assert_eq!(count(), 1);
    eventually(|| signs(&agent, &mut client) && count() == 2);
}
