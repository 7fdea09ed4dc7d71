//! What somebody between a client and its TPM can do, the interposer does.

mod tpm;

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};

use testing::{
    Swtpm, Tap,
    interposer::{Action, Message, cc},
};
use tpm::{Client, GET_RANDOM, READ_CLOCK};

fn get_random(client: &mut Client) -> Vec<u8> {
    let reply = client.call(0x8001, GET_RANDOM, b"\0\x10");
    reply.expect("it answers")
}

#[test]
fn a_field_of_a_response_is_changed() {
    let swtpm = Swtpm::start();
    let tap = Tap::start(&swtpm);
    tap.interpose(|step| {
        if step.command.code() != cc::GET_RANDOM {
            return Ok(Action::Pass);
        }
        let mut reply = step.pass()?;
        reply.set("randomBytes", b"four");
        Ok(Action::Reply(reply))
    });
    let mut client = Client::through(&tap);
    let forged = get_random(&mut client);
    assert_eq!(forged, b"\x80\x01\0\0\0\x10\0\0\0\0\0\x04four");
    // The record is of what the client got, and other commands pass.
    assert_eq!(tap.exchanges()[0].response, forged);
    assert_eq!(client.read_clock().expect("it answers").len(), 35);

    tap.stop_interposing();
    assert_eq!(get_random(&mut client).len(), 28);
}

#[test]
fn a_field_of_a_command_is_changed() {
    let swtpm = Swtpm::start();
    let tap = Tap::start(&swtpm);
    tap.interpose(|step| {
        step.command.set("bytesRequested", &[0, 4]);
        Ok(Action::Pass)
    });
    assert_eq!(get_random(&mut Client::through(&tap)).len(), 16);
}

#[test]
fn commands_are_injected_repeated_and_kept_back() {
    let swtpm = Swtpm::start();
    let tap = Tap::start(&swtpm);
    let seen = Arc::new(Mutex::new(Vec::new()));
    let notes = Arc::clone(&seen);
    tap.interpose(move |step| {
        let mut notes = notes.lock().expect("nobody panics");
        match step.index() {
            // Another command before, the same one twice.
            0 => {
                let clock = step.send(&Message::command(cc::READ_CLOCK))?;
                notes.push(clock.get("currentTime.safe"));
                notes.push(step.pass()?.get("randomBytes"));
                Ok(Action::Pass)
            }
            // Not sent at all.
            1 => Ok(Action::Reply(Message::refusal(GET_RANDOM, 0x922))),
            _ => Ok(Action::HangUp),
        }
    });
    let mut client = Client::through(&tap);
    let second = get_random(&mut client);
    assert_eq!(get_random(&mut client)[6..], [0, 0, 9, 0x22]);
    client.send_read_clock();
    assert!(client.rest().is_empty());
    let seen = seen.lock().expect("nobody panics");
    assert_eq!((seen[0].len(), seen[1].len()), (1, 16));
    assert_ne!(seen[1], second[12..]);
    assert_eq!(tap.commands(), [GET_RANDOM, GET_RANDOM, READ_CLOCK]);
}

/// An answer of an earlier exchange in the place of a new one.
#[test]
fn a_response_is_replayed() {
    let swtpm = Swtpm::start();
    let tap = Tap::start(&swtpm);
    let mut first = None;
    tap.interpose(move |step| {
        let reply = step.pass()?;
        Ok(Action::Reply(first.get_or_insert(reply).clone()))
    });
    let mut client = Client::through(&tap);
    let random = get_random(&mut client);
    assert_eq!(get_random(&mut client), random);
}

/// A whole TPM in a closure: the one behind the tap is asked nothing.
#[test]
fn a_closure_answers_by_itself() {
    let swtpm = Swtpm::start();
    let tap = Tap::start(&swtpm);
    let answered = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&answered);
    tap.interpose(move |step| {
        count.fetch_add(1, Ordering::Relaxed);
        // TPM_RC_COMMAND_CODE: a chip that lacks every command.
        let code = step.command.code();
        Ok(Action::Reply(Message::refusal(code, 0x143)))
    });
    let mut client = Client::through(&tap);
    for _ in 0..3 {
        assert_eq!(get_random(&mut client)[6..], [0, 0, 1, 0x43]);
    }
    assert_eq!(answered.load(Ordering::Relaxed), 3);
}

#[test]
fn a_capability_is_a_list_whose_elements_have_names() {
    let swtpm = Swtpm::start();
    let tap = Tap::start(&swtpm);
    let mut client = Client::through(&tap);
    // TPM_CAP_ALGS, commands, PCRs, properties, curves.
    for capability in [0_u32, 2, 5, 6, 7, 8] {
        let mut body = capability.to_be_bytes().to_vec();
        body.extend(if capability == 6 { 0x100_u32 } else { 0 }.to_be_bytes());
        body.extend(64_u32.to_be_bytes());
        let reply = client.call(0x8001, cc::GET_CAPABILITY, &body);
        let reply = reply.expect("it answers");
        let command = Message::parse_command(&tap.exchanges().last().expect("one").command);
        let reply = Message::parse_reply(&command, &reply);
        assert!(reply.is_understood() && reply.succeeded());
        let data = reply.field("capabilityData.data").expect("a list");
        assert!(!data.parts().is_empty(), "capability {capability}");
        if capability == 6 {
            assert_eq!(reply.number("capabilityData.data.1.property"), 0x100);
        }
    }
}
