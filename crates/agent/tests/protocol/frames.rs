//! Frames, and messages that are no requests.

use testing::{AgentClient, frame, message};

use crate::served::{FAILURE, Fixture, LIST, extension, listed, sign};

const MAX_FRAME: usize = 256 * 1024;

#[test]
fn a_frame_of_an_impossible_length_ends_the_connection_and_harms_no_other() {
    let agent = Fixture::new(&[]).serve();
    let mut other = agent.client();
    for length in [0, MAX_FRAME as u32 + 1, u32::MAX] {
        let mut client = agent.client();
        client.send(&length.to_be_bytes());
        assert_eq!(client.receive(), None, "{length}");
        assert_eq!(other.ask(LIST), [12, 0, 0, 0, 0], "{length}");
    }
}

#[test]
fn what_follows_a_list_request_in_its_frame_is_ignored_up_to_the_longest_frame() {
    let agent = Fixture::new(&[]).serve();
    let mut client = agent.client();
    assert_eq!(client.ask(b"\x0babc"), [12, 0, 0, 0, 0]);
    assert_eq!(client.ask(&vec![11; MAX_FRAME]), [12, 0, 0, 0, 0]);
}

#[test]
fn a_message_may_come_byte_by_byte() {
    let agent = Fixture::new(&[]).serve();
    let mut client = agent.client();
    for byte in frame(LIST) {
        client.send(&[byte]);
    }
    assert_eq!(client.receive().unwrap(), [12, 0, 0, 0, 0]);
}

#[test]
fn requests_in_one_write_are_answered_in_order() {
    let agent = Fixture::new(&[]).serve();
    let mut client = agent.client();
    let messages = (0..100).map(|i| if i % 3 == 0 { LIST } else { &[255] });
    client.send(&messages.flat_map(frame).collect::<Vec<_>>());
    for i in 0..100 {
        let kind = if i % 3 == 0 { 12 } else { 5 };
        assert_eq!(client.receive().unwrap()[0], kind, "{i}");
    }
}

#[test]
fn messages_of_unknown_types_and_of_ssh_1_fail_and_end_nothing() {
    let agent = Fixture::new(&[]).serve();
    let mut client = agent.client();
    for kind in [255, 0, 1, 3, 5, 7, 8, 9, 12, 14, 24, 99] {
        assert_eq!(client.ask(&[kind]), FAILURE, "{kind}");
    }
    assert_eq!(client.ask(LIST)[0], 12);
}

#[test]
fn a_message_that_is_cut_or_lies_about_its_lengths_fails_and_ends_nothing() {
    let agent = Fixture::new(&[]).serve();
    let mut client = agent.client();
    let whole = sign(b"\0\0\0\x0bssh-ed25519", b"data", 0);
    for len in 1..whole.len() {
        assert_eq!(client.ask(&whole[..len]), FAILURE, "{len}");
    }
    for kind in [13, 17, 18, 20, 21, 22, 23, 25, 26, 27] {
        let mut lie = vec![kind];
        lie.extend(0xffff_fff0_u32.to_be_bytes());
        lie.extend(b"abc");
        assert_eq!(client.ask(&lie), FAILURE, "{kind}");
    }
    assert_eq!(client.ask(LIST)[0], 12);
}

#[test]
fn query_names_the_extensions_and_an_unknown_one_fails() {
    let agent = Fixture::new(&[]).serve();
    let mut client = agent.client();
    let mut expected = message(29, &[b"query"]);
    for name in [
        "query",
        "session-bind@openssh.com",
        "unlock@tpmssh",
        "lock@tpmssh",
        "proxy-path@tpmssh",
        "status@tpmssh",
        "attest@tpmssh",
    ] {
        expected.extend(frame(name.as_bytes()));
    }
    assert_eq!(client.ask(&extension("query", &[])), expected);
    assert_eq!(client.ask(&extension("nonsense@example.org", &[])), FAILURE);
    // Known, and not done: that is another answer.
    assert_eq!(client.ask(&extension("unlock@tpmssh", &[])), [28]);
}

/// A client that dies at any byte of a request harms no other.
#[test]
fn a_client_may_die_at_any_byte() {
    let agent = Fixture::new(&[]).serve();
    let mut other = agent.client();
    let whole = frame(&sign(b"\0\0\0\x0bssh-ed25519", b"data", 0));
    for len in 0..whole.len() {
        let mut client = AgentClient::connect(&agent.socket);
        client.send(&whole[..len]);
        drop(client);
        assert_eq!(listed(&other.ask(LIST)), [], "{len}");
    }
}
