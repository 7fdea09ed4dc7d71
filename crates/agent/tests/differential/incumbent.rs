//! OpenSSH's agent, and what it answers.

use std::path::PathBuf;

use agent::protocol::put_string;
use p256::ecdsa::SigningKey;
use testing::{AgentClient, Home, SshAgent};

const SUCCESS: u8 = 6;
const REQUEST_IDENTITIES: u8 = 11;
const IDENTITIES_ANSWER: u8 = 12;
const SIGN_REQUEST: u8 = 13;
const SIGN_RESPONSE: u8 = 14;
const REMOVE_ALL_IDENTITIES: u8 = 19;
const ADD_ID_CONSTRAINED: u8 = 25;
const EXTENSION: u8 = 27;

/// An `ssh-agent` with no key, or one that is constrained.
pub(crate) struct Incumbent {
    socket: PathBuf,
    manager: AgentClient,
    _agent: SshAgent,
    _home: Home,
}

impl Incumbent {
    pub(crate) fn start() -> Self {
        let home = Home::new();
        let agent = SshAgent::start(&home, "/nothing", &[]);
        let socket = PathBuf::from(&agent.env()[0].1);
        Self {
            manager: AgentClient::connect(&socket),
            socket,
            _agent: agent,
            _home: home,
        }
    }

    /// Holds `key` with these constraints from now on, and no other; whether it took it.
    pub(crate) fn hold(&mut self, key: &SigningKey, constraints: &[u8]) -> bool {
        self.manager.ask(&[REMOVE_ALL_IDENTITIES]);
        let point = key.verifying_key().to_encoded_point(false);
        let mut secret = key.to_bytes().to_vec();
        if secret[0] & 0x80 != 0 {
            secret.insert(0, 0);
        }
        let mut message = vec![ADD_ID_CONSTRAINED];
        for field in [
            b"ecdsa-sha2-nistp256",
            &b"nistp256"[..],
            point.as_bytes(),
            &secret,
            b"a comment",
        ] {
            put_string(&mut message, field);
        }
        message.extend_from_slice(constraints);
        self.manager.ask(&message) == [SUCCESS]
    }

    /// A connection of its own.
    pub(crate) fn connect(&self) -> Connection {
        Connection(AgentClient::connect(&self.socket))
    }
}

/// A connection of a client, which can be bound.
pub(crate) struct Connection(AgentClient);

impl Connection {
    pub(crate) fn bind(&mut self, contents: &[u8]) -> bool {
        let mut message = vec![EXTENSION];
        put_string(&mut message, b"session-bind@openssh.com");
        message.extend_from_slice(contents);
        self.0.ask(&message) == [SUCCESS]
    }

    pub(crate) fn sees_a_key(&mut self) -> bool {
        let answer = self.0.ask(&[REQUEST_IDENTITIES]);
        assert_eq!(answer[0], IDENTITIES_ANSWER);
        answer[1..5] != [0; 4]
    }

    pub(crate) fn signs(&mut self, key: &[u8], data: &[u8]) -> bool {
        let mut message = vec![SIGN_REQUEST];
        put_string(&mut message, key);
        put_string(&mut message, data);
        message.extend_from_slice(&[0; 4]);
        self.0.ask(&message)[0] == SIGN_RESPONSE
    }
}
