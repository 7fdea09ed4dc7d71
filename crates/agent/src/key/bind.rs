//! Which servers a connection serves: what `ssh` binds to it, and what follows for a key.

use ssh_format::{AnyKey, Certificate};

use crate::protocol::{Malformed, fields};

/// OpenSSH's `AGENT_MAX_SESSION_IDS`.
const MAX_BINDS: usize = 16;
/// OpenSSH's `AGENT_MAX_SID_LEN`.
const MAX_SESSION_ID: usize = 128;

/// A server that a connection was bound to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bind {
    /// The server's key or host certificate, as a blob.
    pub host_key: Vec<u8>,
    /// The session, which that key has signed.
    pub session_id: Vec<u8>,
    /// Whether the agent is forwarded to that server; else it is logged in to.
    pub forwarding: bool,
}

/// All binds of one connection, in order: the first hop first.
#[derive(Debug, Default)]
pub struct Binds {
    list: Vec<Bind>,
    failed: bool,
}

/// Why a bind was refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// It cannot be read.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// The server's key did not sign this session.
    #[error("the signature of the server is not right")]
    Signature,
    /// The server's key or certificate cannot be used, such as one of a type that is not known here.
    #[error("the server's key cannot be checked: {0}")]
    HostKey(ssh_format::Error),
    /// The authority did not sign the server's certificate.
    #[error("the server's certificate is not good: {0}")]
    Certificate(ssh_format::Error),
    /// The signature is of a kind that is not checked here, such as one of RSA with SHA-1.
    #[error("the signature of the server cannot be checked: {0}")]
    Algorithm(ssh_format::Error),
    /// The session id is empty.
    #[error("the session id is empty")]
    NoSessionId,
    /// The session id is longer than any hash.
    #[error("the session id is too long")]
    SessionId,
    /// The connection already serves a login, which is its last purpose.
    #[error("the connection is already bound to a login")]
    AfterLogin,
    /// The session is bound to another key.
    #[error("the session is already bound to another key")]
    OtherKey,
    /// There are as many as OpenSSH allows.
    #[error("too many binds")]
    TooMany,
}

impl Binds {
    /// Checks and keeps what `session-bind@openssh.com` says. A refusal is kept as well: such a
    /// connection must never pass for a local one.
    ///
    /// # Errors
    ///
    /// [`Refused`].
    pub fn add(&mut self, contents: &[u8]) -> Result<(), Refused> {
        let result = self.try_add(contents);
        self.failed |= result.is_err();
        result
    }

    fn try_add(&mut self, contents: &[u8]) -> Result<(), Refused> {
        let mut reader = fields(contents);
        let host_key = reader.string()?;
        let session_id = reader.string()?;
        let signature = reader.string()?;
        let forwarding = reader.boolean()?;
        if session_id.is_empty() {
            return Err(Refused::NoSessionId);
        }
        if session_id.len() > MAX_SESSION_ID {
            return Err(Refused::SessionId);
        }
        verify(host_key, session_id, signature)?;
        for bind in &self.list {
            if !bind.forwarding {
                return Err(Refused::AfterLogin);
            }
            if bind.session_id == session_id {
                return if bind.host_key == host_key {
                    Ok(())
                } else {
                    Err(Refused::OtherKey)
                };
            }
        }
        if self.list.len() == MAX_BINDS {
            return Err(Refused::TooMany);
        }
        self.list.push(Bind {
            host_key: host_key.to_vec(),
            session_id: session_id.to_vec(),
            forwarding,
        });
        Ok(())
    }

    /// The binds.
    #[must_use]
    pub fn list(&self) -> &[Bind] {
        &self.list
    }

    /// Whether one was refused.
    #[must_use]
    pub fn failed(&self) -> bool {
        self.failed
    }

    /// Whether the connection was bound to a server, or a bind was refused. It may then come from
    /// another machine, so it may use keys but not manage them.
    #[must_use]
    pub fn is_bound(&self) -> bool {
        self.failed || !self.list.is_empty()
    }
}

/// Checks that `host_key`, a key or a certificate that its authority has signed, made `signature`
/// over `data`.
fn verify(host_key: &[u8], data: &[u8], signature: &[u8]) -> Result<(), Refused> {
    let key = match AnyKey::from_blob(host_key) {
        Err(ssh_format::Error::NotAKey) => {
            let certificate = Certificate::from_blob(host_key).map_err(Refused::HostKey)?;
            certificate.verify().map_err(Refused::Certificate)?;
            certificate.key().clone()
        }
        key => key.map_err(Refused::HostKey)?,
    };
    key.verify(signature, data).map_err(|err| match err {
        ssh_format::Error::Sha1 | ssh_format::Error::UnknownAlgorithm(_) => Refused::Algorithm(err),
        _ => Refused::Signature,
    })
}
