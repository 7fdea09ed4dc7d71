//! The interposer parses every command and response of this crate.

use std::collections::BTreeSet;

use testing::interposer::{Change, Message};

use crate::{TestResult, life, world::Kind};

#[test]
fn every_message_in_the_life_of_a_token_is_taken_apart_and_put_together_again() -> TestResult {
    let mut names = BTreeSet::new();
    for kind in Kind::ALL {
        for exchange in life::record(kind)? {
            let command = Message::parse_command(&exchange.command);
            let reply = Message::parse_reply(&command, &exchange.response);
            for (message, bytes) in [(&command, &exchange.command), (&reply, &exchange.response)] {
                assert!(message.is_understood(), "{message:?}");
                assert_eq!(message.bytes(), *bytes, "{message:?}");
            }
            if reply.succeeded() {
                names.insert(command.name());
            }
        }
    }
    // The life has most of the commands that this crate sends.
    assert!(names.len() >= 30, "{} commands: {names:?}", names.len());
    Ok(())
}

/// Whatever is changed in a message leaves one with the length that its header says.
#[test]
fn a_changed_message_is_well_formed() -> TestResult {
    let mut changes = 0;
    for exchange in life::record(Kind::Counter)? {
        let command = Message::parse_command(&exchange.command);
        let reply = Message::parse_reply(&command, &exchange.response);
        for message in [&command, &reply] {
            for change in Change::all(message) {
                let mut changed = message.clone();
                assert!(change.apply(&mut changed), "{change} of {}", message.name());
                let bytes = changed.bytes();
                assert_eq!(bytes[2..6], u32::try_from(bytes.len())?.to_be_bytes());
                assert_ne!(bytes, message.bytes(), "{change} of {}", message.name());
                changes += 1;
            }
        }
    }
    assert!(changes > 1000, "{changes}");
    Ok(())
}
