//! `attest@tpmssh`: answers to the challenge of a verifier.

use std::sync::Arc;
use std::time::Duration;

use agent::Policy;
use agent::audit::{self, Record};
use key_proof::{ENROLL_NAMESPACE, qualifying_data};
use ssh_format::{SigHash, SshSig};
use testing::{AgentClient, frame, message};
use token_store::{Store, attestation};
use tpm_core::{EndorsementAuth, KeyType, Tpm};

use crate::host::Host;
use crate::keys::{add_constrained, only_to};
use crate::served::{
    EXTENSION_FAILURE, Fixture, PIN, SUCCESS, Served, eventually, extension, sign,
};

const REQUEST: [u8; 32] = [0xab; 32];
const NONCE: [u8; 32] = [0xcd; 32];

/// `TPM2_Certify`.
const CERTIFY: u32 = 0x148;

/// Makes the attestation key, as the request for a proof does.
fn prepare(fixture: &Fixture) {
    let tpm = Arc::new(Tpm::new(fixture.tap.tcti().parse().unwrap()));
    let mut store = Store::open(&fixture.store()).unwrap();
    let token = store.find_token("t").unwrap();
    let auth = EndorsementAuth::empty();
    attestation::evidence(&mut store, &tpm, &token, None, &auth).unwrap();
    fixture.tap.reset();
}

/// A request with these fields.
pub(crate) fn attest(key: &[u8], request: &[u8], nonce: &[u8]) -> Vec<u8> {
    let fields = [key, request, nonce].map(frame).concat();
    extension("attest@tpmssh", &fields)
}

/// What the agent answers to a refused request: the code, and the reason.
fn refusal(code: u8, reason: &str) -> Vec<u8> {
    let mut answer = message(29, &[b"attest@tpmssh"]);
    answer.push(code);
    answer.extend(frame(reason.as_bytes()));
    answer
}

/// The fields of an accepted one.
fn accepted(answer: &[u8]) -> [Vec<u8>; 3] {
    let mut reader = agent::protocol::fields(answer);
    assert_eq!(reader.byte().unwrap(), 29, "{answer:?}");
    assert_eq!(reader.text("name").unwrap(), "attest@tpmssh");
    assert_eq!(reader.byte().unwrap(), 0, "{answer:?}");
    let fields = [(); 3].map(|()| reader.string().unwrap().to_vec());
    reader.finish().unwrap();
    fields
}

fn unlock(client: &mut AgentClient) {
    let open = message(20, &[b"tpmssh:t", PIN.as_bytes()]);
    assert_eq!(client.ask(&open), SUCCESS);
}

fn ask(agent: &Served, client: &mut AgentClient) -> Vec<u8> {
    client.ask(&attest(agent.key(), &REQUEST, &NONCE))
}

/// The records of attestations, of which there are `count`.
fn records(agent: &Served, count: usize) -> Vec<Record> {
    let path = agent.fixture.dir.path().join("log");
    let read = || {
        let mut records = audit::read(&path).unwrap();
        records.retain(|record| record.event == "attest");
        records
    };
    eventually(|| read().len() >= count);
    let records = read();
    assert_eq!(records.len(), count, "{records:#?}");
    records
}

#[test]
fn an_open_token_answers_a_challenge_and_a_line_in_the_log_says_so() {
    let fixture = Fixture::with_pin();
    prepare(&fixture);
    let agent = fixture.serve();
    let mut client = agent.client();
    unlock(&mut client);
    let [attested, _signature, own] = accepted(&ask(&agent, &mut client));
    // TPM_GENERATED_VALUE and TPM_ST_ATTEST_CERTIFY: part 2, section 10.12.
    assert_eq!(attested[..6], [0xff, 0x54, 0x43, 0x47, 0x80, 0x17]);
    let qualifying = qualifying_data(&NONCE, &REQUEST);
    assert!(attested.windows(32).any(|part| part == qualifying));
    let own = SshSig::from_armored(&String::from_utf8(own).unwrap()).unwrap();
    assert_eq!(own.signer().key().blob(), agent.key());
    let digest = SigHash::Sha512.of(&REQUEST[..]).unwrap();
    own.verify(ENROLL_NAMESPACE, &digest).unwrap();
    // Nobody takes it for a signature of a file, or of git.
    own.verify("file", &digest).unwrap_err();

    let [record] = &records(&agent, 1)[..] else {
        unreachable!()
    };
    assert_eq!(record.result, "done");
    assert_eq!(record.label.as_deref(), Some("key 0"));
    assert_eq!(record.token.as_deref(), Some("t"));
    assert_eq!(record.origin.as_deref(), Some("born-here"));
    assert_eq!(
        record.purpose.as_deref(),
        Some("to prove that it cannot leave the TPM, for request abababababababab")
    );
    assert!(record.key.as_ref().unwrap().starts_with("SHA256:"));
    assert!(record.pid.is_some() && !record.programs.is_empty());
    assert_eq!(agent.fixture.tries_left(), 3);
    agent.assert_idle();
}

/// With the key in the chip already, as after a login at a server.
#[test]
fn a_token_without_a_pin_answers_with_the_key_that_is_loaded() {
    let fixture = Fixture::new(&[KeyType::EccP256, KeyType::Rsa2048]);
    prepare(&fixture);
    let agent = fixture.serve();
    let mut client = agent.client();
    for key in &agent.fixture.keys {
        assert_eq!(client.ask(&sign(key, b"data", 4))[0], 14);
        let answer = client.ask(&attest(key, &REQUEST, &NONCE));
        let [_, _, own] = accepted(&answer);
        let own = SshSig::from_armored(&String::from_utf8(own).unwrap()).unwrap();
        assert_eq!(own.signer().key().blob(), key);
    }
}

/// Asserts that it is refused, with this reason in the answer and in the log, and that the chip was not asked.
#[track_caller]
fn assert_refused(agent: &Served, client: &mut AgentClient, reason: &str) {
    agent.fixture.tap.reset();
    let answer = ask(agent, client);
    assert_eq!(answer, refusal(1, reason), "{}", agent.log());
    assert!(!agent.fixture.tap.commands().contains(&CERTIFY));
    assert_eq!(records(agent, 1)[0].result, reason);
}

#[test]
fn a_token_that_is_not_open_is_not_opened_for_it() {
    let fixture = Fixture::with_pin().askpass("touch \"${0%/*}/asked\"; echo wrong");
    prepare(&fixture);
    let agent = fixture.serve();
    let reason = "refused: the token is not unlocked";
    assert_refused(&agent, &mut agent.client(), reason);
    assert!(!agent.fixture.dir.path().join("asked").exists());
    assert_eq!(agent.fixture.tries_left(), 3);
}

#[test]
fn a_key_whose_pin_is_asked_for_at_each_use_is_not_proven_without_it() {
    let fixture = Fixture::with_pin().policy(Policy::Never);
    prepare(&fixture);
    let agent = fixture.serve();
    let mut client = agent.client();
    unlock(&mut client);
    let reason = "refused: the PIN of this key is asked for at each use";
    assert_refused(&agent, &mut client, reason);
}

/// There is no PIN that could be asked for.
#[test]
fn a_key_without_a_pin_is_proven_whatever_the_policy_of_pins() {
    let fixture = Fixture::new(&[KeyType::EccP256]).policy(Policy::Never);
    prepare(&fixture);
    let agent = fixture.serve();
    let answer = agent.client().ask(&attest(agent.key(), &REQUEST, &NONCE));
    accepted(&answer);
}

#[test]
fn a_key_that_is_limited_to_hosts_proves_nothing_to_others() {
    let fixture = Fixture::new(&[KeyType::EccP256]);
    prepare(&fixture);
    let agent = fixture.serve();
    let mut client = agent.client();
    add_constrained(&mut client, &only_to(&Host::new(1)));
    let reason = "refused: the key is limited to hosts";
    assert_refused(&agent, &mut client, reason);
}

#[test]
fn a_key_that_was_removed_or_is_unknown_is_not_proven() {
    let fixture = Fixture::new(&[KeyType::EccP256]);
    prepare(&fixture);
    let agent = fixture.serve();
    let mut client = agent.client();
    assert_eq!(client.ask(&message(18, &[agent.key()])), SUCCESS);
    let reason = "refused: the agent has no such key";
    assert_refused(&agent, &mut client, reason);
    let answer = client.ask(&attest(b"no key", &REQUEST, &NONCE));
    assert_eq!(answer, refusal(1, reason));
}

#[test]
fn a_key_whose_use_is_confirmed_is_proven_after_a_yes_alone() {
    for (yes, by_policy) in [(true, true), (true, false), (false, true), (false, false)] {
        let script = "printf '%s' \"$1\" >\"${0%/*}/asked\"; \
                      [ \"$SSH_ASKPASS_PROMPT\" = confirm ] && exit ";
        let script = format!("{script}{}", u8::from(!yes));
        let policy = match by_policy {
            true => Policy::Confirm,
            false => Policy::UntilLocked,
        };
        let fixture = Fixture::with_pin().askpass(&script).policy(policy);
        prepare(&fixture);
        let agent = fixture.serve();
        let mut client = agent.client();
        unlock(&mut client);
        if !by_policy {
            add_constrained(&mut client, &[2]);
        }
        let answer = ask(&agent, &mut client);
        let asked = std::fs::read_to_string(agent.fixture.dir.path().join("asked")).unwrap();
        assert!(
            asked.starts_with(
                "Allow a proof, which names this TPM?\nToken \"t\", key \"key 0\" SHA256:"
            ),
            "{asked}"
        );
        let record = records(&agent, 1).remove(0);
        if yes {
            accepted(&answer);
            assert_eq!(record.result, "done");
        } else {
            assert_eq!(answer, refusal(1, &record.result));
            assert!(record.result.starts_with("not confirmed"), "{record:?}");
        }
    }
}

/// A person thinks it over while somebody else ends the login.
#[test]
fn what_ends_while_a_person_is_asked_is_not_used_after_the_yes() {
    let script = "touch \"${0%/*}/asked\"; while [ -e \"${0%/*}/asked\" ]; do sleep 0.05; done";
    let fixture = Fixture::with_pin()
        .askpass(script)
        .policy(Policy::Confirm)
        .patience(Duration::from_secs(60));
    prepare(&fixture);
    let agent = fixture.serve();
    let mut client = agent.client();
    unlock(&mut client);
    client.send_message(&attest(agent.key(), &REQUEST, &NONCE));
    let asked = agent.fixture.dir.path().join("asked");
    eventually(|| asked.exists());
    assert_eq!(agent.client().ask(&extension("lock@tpmssh", b"")), SUCCESS);
    std::fs::remove_file(&asked).unwrap();
    let reason = "refused: the token is not unlocked";
    assert_eq!(client.receive().unwrap(), refusal(1, reason));
}

#[test]
fn a_locked_agent_says_nothing_of_its_keys() {
    let fixture = Fixture::new(&[KeyType::EccP256]);
    prepare(&fixture);
    let agent = fixture.serve();
    let mut client = agent.client();
    assert_eq!(client.ask(&message(22, &[b"sesame"])), SUCCESS);
    assert_eq!(ask(&agent, &mut client), EXTENSION_FAILURE);
    assert_eq!(records(&agent, 1)[0].result, "refused: the agent is locked");
}

#[test]
fn fields_of_other_lengths_are_refused() {
    let fixture = Fixture::new(&[KeyType::EccP256]);
    prepare(&fixture);
    let agent = fixture.serve();
    let mut client = agent.client();
    let key = agent.key();
    let whole = attest(key, &REQUEST, &NONCE);
    for malformed in [
        attest(key, &REQUEST[1..], &NONCE),
        attest(key, &REQUEST, b""),
        attest(key, &[&REQUEST[..], b"more"].concat(), &NONCE),
        [&whole[..], b"more"].concat(),
        whole[..whole.len() - 1].to_vec(),
        extension("attest@tpmssh", b""),
    ] {
        assert_eq!(client.ask(&malformed), EXTENSION_FAILURE);
    }
    assert!(!agent.fixture.tap.commands().contains(&CERTIFY));
    for record in records(&agent, 6) {
        assert_eq!(record.result, "refused: malformed");
    }
    accepted(&client.ask(&whole));
}

/// No request was made from this store, so there is nothing to attest with.
#[test]
fn without_an_attestation_key_it_says_so() {
    let agent = Fixture::new(&[KeyType::EccP256]).serve();
    let answer = ask(&agent, &mut agent.client());
    let reason = records(&agent, 1).remove(0).result;
    assert!(reason.starts_with("cannot attest: "), "{reason}");
    assert_ne!(answer[answer.len() - reason.len() - 5], 0);
    assert!(answer.ends_with(reason.as_bytes()));
}
