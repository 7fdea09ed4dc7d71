//! What a message bus sends, and its address.

#![no_main]

use dbus_wire::{Handshake, Incoming, sockets};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|chunks: Vec<Vec<u8>>| {
    let mut incoming = Incoming::default();
    let (mut handshake, _) = Handshake::start(0, true);
    for chunk in &chunks {
        if let Ok(text) = std::str::from_utf8(chunk) {
            let _ = sockets(text);
        }
        incoming.push(chunk);
        while let Ok(Some(line)) = incoming.line() {
            let _ = handshake.line(&line);
        }
    }
    let mut incoming = Incoming::default();
    for chunk in &chunks {
        incoming.push(chunk);
        while let Ok(Some(message)) = incoming.message() {
            let mut arguments = message.arguments();
            while arguments.text().is_ok()
                || arguments.number().is_ok()
                || arguments.long().is_ok()
                || arguments.boolean().is_ok()
            {}
            // What was read is written, and reads the same.
            let mut again = Incoming::default();
            if message.arguments().text().is_ok() {
                again.push(&message.encode(1));
                let _ = again.message();
            }
        }
    }
});
