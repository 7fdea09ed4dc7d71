//! Keys in an agent, whatever that has them in.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use ssh_format::wire::{Reader, put_string, put_u32};
use ssh_format::{AnyKey, Curve, RsaHash, Signature};

use super::{Signer, failed};
use crate::Refusal;

/// An agent at a socket.
#[derive(Debug)]
pub struct Agent {
    socket: PathBuf,
    patience: Duration,
    /// Connections for the next signatures.
    idle: Mutex<Vec<UnixStream>>,
}

/// The longest wait for the agent. A TPM signs in about 100 ms, but somebody may have to touch a token.
const PATIENCE: Duration = Duration::from_secs(10);
/// The longest answer with a signature, in bytes. A signature with RSA-16384 has 2 KiB.
const MAX_ANSWER: usize = 16 * 1024;
/// The longest answer with a list of keys and their certificates, in bytes.
const MAX_LIST: usize = 256 * 1024;
const REQUEST_IDENTITIES: u8 = 11;
const IDENTITIES_ANSWER: u8 = 12;
const SIGN_REQUEST: u8 = 13;
const SIGN_RESPONSE: u8 = 14;
/// `SSH_AGENT_RSA_SHA2_512`.
const RSA_SHA2_512: u32 = 4;

impl Agent {
    /// The agent at `socket`.
    #[must_use]
    pub fn new(socket: PathBuf) -> Self {
        Self {
            socket,
            patience: PATIENCE,
            idle: Mutex::default(),
        }
    }

    /// Connects to the agent. If the agent hangs and its backlog is full, `connect` waits. The send timeout also limits that wait (unix(7), socket(7)),
    /// so it is set before.
    fn connect(&self) -> io::Result<UnixStream> {
        let socket = rustix::net::socket_with(
            AddressFamily::UNIX,
            SocketType::STREAM,
            SocketFlags::CLOEXEC,
            None,
        )?;
        set_socket_timeout(&socket, Timeout::Send, Some(self.patience))?;
        let address = SocketAddrUnix::new(&self.socket)?;
        rustix::io::retry_on_intr(|| rustix::net::connect(&socket, &address))?;
        Ok(socket.into())
    }

    /// Sends a message to the agent, and returns its answer, at most `max` bytes. Connections are kept for the next message.
    ///
    /// # Source
    ///
    /// RFC 9987 section 3.6, "private key operations".
    fn ask(&self, message: &[u8], max: usize) -> io::Result<Vec<u8>> {
        let idle = self.idle().pop();
        if let Some(mut stream) = idle {
            match exchange(&mut stream, message, max) {
                // An agent that was restarted has closed the kept connections.
                Err(err) if !is_slow(&err) => self.idle().clear(),
                done => return done.inspect(|_| self.idle().push(stream)),
            }
        }
        let mut stream = self.connect()?;
        stream.set_read_timeout(Some(self.patience))?;
        exchange(&mut stream, message, max).inspect(|_| self.idle().push(stream))
    }

    fn idle(&self) -> MutexGuard<'_, Vec<UnixStream>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Sends a message and reads the answer.
fn exchange(stream: &mut UnixStream, message: &[u8], max: usize) -> io::Result<Vec<u8>> {
    let mut framed = Vec::new();
    put_string(&mut framed, message);
    stream.write_all(&framed)?;
    let mut len = [0; 4];
    stream.read_exact(&mut len)?;
    let len = usize::try_from(u32::from_be_bytes(len)).unwrap_or(usize::MAX);
    if len > max {
        return Err(io::Error::other("the agent's answer is too long"));
    }
    let mut answer = vec![0; len];
    stream.read_exact(&mut answer)?;
    Ok(answer)
}

fn is_slow(err: &io::Error) -> bool {
    matches!(
        err.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
    )
}

impl Agent {
    fn silent(&self, err: &io::Error) -> Refusal {
        let socket = self.socket.display();
        failed(format!("the agent at {socket} does not answer: {err}"))
    }
}

impl Signer for Agent {
    /// # Source
    ///
    /// RFC 9987 section 3.5, "requesting a list of keys".
    fn unlisted<'a>(&self, keys: &[&'a AnyKey]) -> Result<Option<&'a AnyKey>, Refusal> {
        let answer = self.ask(&[REQUEST_IDENTITIES], MAX_LIST);
        let answer = answer.map_err(|err| self.silent(&err))?;
        let Some((&IDENTITIES_ANSWER, rest)) = answer.split_first() else {
            return Err(failed("the agent does not say which keys it has"));
        };
        let mut reader = Reader::new(rest, "list of keys");
        let count = reader.u32().map_err(failed)?;
        let mut listed = Vec::new();
        for _ in 0..count {
            listed.push(reader.string().map_err(failed)?);
            reader.string().map_err(failed)?;
        }
        let is_listed = |key: &AnyKey| listed.contains(&key.blob());
        Ok(keys.iter().find(|key| !is_listed(key)).copied())
    }

    fn sign(&self, key: &AnyKey, data: &[u8]) -> Result<Signature, Refusal> {
        let mut message = vec![SIGN_REQUEST];
        put_string(&mut message, key.blob());
        put_string(&mut message, data);
        let flags = if key.algorithm() == "ssh-rsa" {
            RSA_SHA2_512
        } else {
            0
        };
        put_u32(&mut message, flags);
        let answer = self.ask(&message, MAX_ANSWER);
        let answer = answer.map_err(|err| self.silent(&err))?;
        let Some((&SIGN_RESPONSE, rest)) = answer.split_first() else {
            let key = key.fingerprint();
            return Err(failed(format!("the agent does not sign with {key}")));
        };
        let signature = Reader::new(rest, "signature").string();
        signature.and_then(read_signature).map_err(failed)
    }
}

/// Reads the blob of a signature.
///
/// # Source
///
/// RFC 5656 section 3.1.2, RFC 8332 section 3.
fn read_signature(blob: &[u8]) -> ssh_format::Result<Signature> {
    let mut reader = Reader::new(blob, "signature");
    let algorithm = reader.text("type")?;
    let mut value = Reader::new(reader.string()?, "signature");
    let curve = match algorithm {
        "rsa-sha2-512" => return Signature::rsa(RsaHash::Sha512, value.rest()),
        "ecdsa-sha2-nistp256" => Curve::NistP256,
        "ecdsa-sha2-nistp384" => Curve::NistP384,
        "ecdsa-sha2-nistp521" => Curve::NistP521,
        _ => return Err(reader.malformed("its type is not known here")),
    };
    let (r, s) = (value.mpint()?, value.mpint()?);
    Signature::ecdsa(curve, r, s)
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixListener;
    use std::path::Path;
    use std::sync::mpsc::{Receiver, channel};

    use super::*;

    /// An agent that answers `answers` messages over each connection, and then ends it. Sends a word for each connection that it accepts.
    fn agent(socket: &Path, answers: usize) -> Receiver<()> {
        let listener = UnixListener::bind(socket).unwrap();
        let (accepted, connections) = channel();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let _ = accepted.send(());
                for _ in 0..answers {
                    let mut message = [0; 5];
                    if stream.read_exact(&mut message).is_err() {
                        break;
                    }
                    stream.write_all(&[0, 0, 0, 1, message[4]]).unwrap();
                }
            }
        });
        connections
    }

    #[test]
    fn one_connection_is_for_many_signatures_until_the_agent_ends_it() {
        let dir = tempfile::tempdir().unwrap();
        for (answers, connections) in [(6, 1), (2, 3), (1, 6)] {
            let socket = dir.path().join(format!("agent{answers}"));
            let accepted = agent(&socket, answers);
            let agent = Agent::new(socket);
            for word in 0..6 {
                assert_eq!(agent.ask(&[word], 1).unwrap(), [word]);
            }
            assert_eq!(accepted.try_iter().count(), connections);
        }
    }

    /// The agent hangs and its backlog is full, so that it does not accept the next connection.
    #[test]
    fn an_agent_that_accepts_nobody_is_waited_for_no_longer_than_one_that_is_slow() {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("agent");
        let listener = UnixListener::bind(&socket).unwrap();
        rustix::net::listen(listener.as_fd(), 0).unwrap();
        let mut agent = Agent::new(socket.clone());
        agent.patience = Duration::from_millis(100);
        let (done, is_done) = channel();
        std::thread::spawn(move || {
            // The first connection fills the backlog.
            let first = agent.connect();
            let second = agent.connect().map(drop).map_err(|err| err.kind());
            let _ = done.send((first.is_ok(), second));
        });
        let got = is_done.recv_timeout(Duration::from_secs(30));
        assert_eq!(got, Ok((true, Err(io::ErrorKind::WouldBlock))));
    }
}
