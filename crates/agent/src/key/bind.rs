//! Which servers a connection serves: what `ssh` binds to it, and what follows for a key.

use crate::key::certificate::key_in;
use crate::protocol::{Malformed, Reader};

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
    /// The server's key did not sign this session, or with an algorithm that is not known here.
    #[error("the signature of the server is not right")]
    Signature,
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
        let mut reader = Reader::new(contents);
        let host_key = reader.string()?;
        let session_id = reader.string()?;
        let signature = reader.string()?;
        let forwarding = reader.boolean()?;
        if session_id.len() > MAX_SESSION_ID {
            return Err(Refused::SessionId);
        }
        verify(host_key, session_id, signature).ok_or(Refused::Signature)?;
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

    /// Whether the connection comes, or may come, from another machine or serves a login:
    /// whoever it is may use keys, and not manage them.
    #[must_use]
    pub fn is_bound(&self) -> bool {
        self.failed || !self.list.is_empty()
    }
}

/// Whether `host_key`, a key or a certificate, made `signature` over `data`.
fn verify(host_key: &[u8], data: &[u8], signature: &[u8]) -> Option<()> {
    key_in(host_key)?.verify(signature, data).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::Host;

    #[test]
    fn a_signed_session_is_kept_once() {
        let host = Host::new(1);
        let mut binds = Binds::default();
        assert!(!binds.is_bound());
        binds.add(&host.bind(b"sid", true)).unwrap();
        binds.add(&host.bind(b"sid", true)).unwrap();
        assert_eq!(binds.list().len(), 1);
        assert!(binds.is_bound() && !binds.failed());
    }

    /// A21.
    #[test]
    fn a_wrong_signature_is_refused_and_remembered() {
        let mut contents = Host::new(1).bind(b"sid", false);
        let at = contents.iter().position(|&byte| byte == b's').unwrap();
        let sid = contents.windows(3).position(|w| w == b"sid").unwrap();
        assert!(at <= sid);
        contents[sid] ^= 1;
        let mut binds = Binds::default();
        let err = binds.add(&contents).unwrap_err();
        assert!(matches!(err, Refused::Signature), "{err}");
        assert!(binds.failed() && binds.is_bound() && binds.list().is_empty());
    }

    /// A22.
    #[test]
    fn what_would_confuse_two_servers_is_refused() {
        let (one, two) = (Host::new(1), Host::new(2));
        let mut binds = Binds::default();
        binds.add(&one.bind(b"login", false)).unwrap();
        let err = binds.add(&one.bind(b"other", false)).unwrap_err();
        assert!(matches!(err, Refused::AfterLogin), "{err}");

        let mut binds = Binds::default();
        binds.add(&one.bind(b"sid", true)).unwrap();
        let err = binds.add(&two.bind(b"sid", true)).unwrap_err();
        assert!(matches!(err, Refused::OtherKey), "{err}");

        let mut binds = Binds::default();
        binds.add(&one.bind(&[7; 128], true)).unwrap();
        let err = binds.add(&one.bind(&[7; 129], true)).unwrap_err();
        assert!(matches!(err, Refused::SessionId), "{err}");

        let mut binds = Binds::default();
        for session in 0..16 {
            binds.add(&one.bind(&[session], true)).unwrap();
        }
        let err = binds.add(&one.bind(&[16], true)).unwrap_err();
        assert!(matches!(err, Refused::TooMany), "{err}");
    }

    #[test]
    fn a_cut_bind_is_refused() {
        let whole = Host::new(1).bind(b"sid", true);
        for len in 0..whole.len() {
            assert!(Binds::default().add(&whole[..len]).is_err(), "{len}");
        }
    }
}
