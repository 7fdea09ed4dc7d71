//! What is loaded in the chip, as the man in the middle sees it.

use std::collections::BTreeSet;

use testing::interposer::{Field, Message, cc};

/// The handles of the sessions and objects that are loaded, by the exchanges so far.
#[derive(Debug, Clone, Default)]
pub(crate) struct Present {
    /// The policy sessions.
    pub(crate) policies: BTreeSet<u32>,
    /// All sessions.
    pub(crate) sessions: BTreeSet<u32>,
    /// The objects.
    pub(crate) objects: BTreeSet<u32>,
}

impl Present {
    /// Takes note of an exchange.
    pub(crate) fn note(&mut self, command: &Message, reply: &Message) {
        if !reply.succeeded() {
            return;
        }
        let number = |field: Option<&Field>| {
            field.map(|field| u32::try_from(field.number()).expect("4 bytes"))
        };
        match command.code() {
            cc::START_AUTH_SESSION => {
                if let Some(handle) = number(reply.field("sessionHandle")) {
                    self.sessions.insert(handle);
                    if command.get("sessionType") == [1] {
                        self.policies.insert(handle);
                    }
                }
            }
            cc::LOAD | cc::CREATE_PRIMARY | cc::CONTEXT_LOAD => {
                let handle = reply.field("objectHandle").or(reply.field("loadedHandle"));
                self.objects.extend(number(handle));
            }
            cc::FLUSH_CONTEXT => {
                let handle = command.number("flushHandle");
                self.sessions.remove(&handle);
                self.policies.remove(&handle);
                self.objects.remove(&handle);
            }
            _ => {}
        }
    }
}
