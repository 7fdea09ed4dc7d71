//! Signatures by the authority's keys, which are in a token of the TPM ([`InToken`]), in an agent, for example with an HSM ([`Agent`]), or in the
//! memory of this process ([`InMemory`]).

pub(crate) mod sealed;
mod token;

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
use ssh_format::wire::{Reader, put_string, put_u32};
use ssh_format::{AnyKey, Curve, RsaHash, SigHash, Signature, SshSig};

use crate::Refusal;
use crate::policy::CaPlace;

pub use sealed::InMemory;
pub use token::InToken;
pub(crate) use token::read_pin;

/// Signs with the authority's keys.
pub trait Signer: Send + Sync {
    /// A signature by `key` over `data`, which is not verified. The caller must verify it before anybody sees it, because a wrong signature by a faulty
    /// chip can reveal the private key.
    ///
    /// # Errors
    ///
    /// [`Refusal::Signer`].
    fn sign(&self, key: &AnyKey, data: &[u8]) -> Result<Signature, Refusal>;

    /// The first of these keys that the place does not list; `None` if it lists all of them.
    ///
    /// This makes no signature, and says little about signatures. A listed key may need a PIN that is missing. A missing key may sign: the agent of
    /// tpmssh lists no keys of authorities, so that no client offers them to servers.
    ///
    /// # Errors
    ///
    /// [`Refusal::Signer`] if the place does not answer.
    fn unlisted<'a>(&self, keys: &[&'a AnyKey]) -> Result<Option<&'a AnyKey>, Refusal>;
}

/// A signer that remembers whether the last signature by each key succeeded, and whether the keys were ever listed.
pub(crate) struct Watched {
    signer: Box<dyn Signer>,
    /// For each key that has been used, by its blob: whether its last signature succeeded.
    signs: Mutex<HashMap<Vec<u8>, bool>>,
    has_listed: AtomicBool,
}

impl Watched {
    pub(crate) fn new(signer: Box<dyn Signer>) -> Self {
        Self {
            signer,
            signs: Mutex::default(),
            has_listed: AtomicBool::new(false),
        }
    }

    /// Checks that these keys can sign.
    ///
    /// If they were ever listed, they have to be listed now. If the last signature by a key did not succeed, or there was none, the key signs once.
    ///
    /// # Errors
    ///
    /// [`Refusal::Signer`].
    pub(crate) fn check(&self, keys: &[&AnyKey]) -> Result<(), Refusal> {
        match self.signer.unlisted(keys)? {
            None => self.has_listed.store(true, Ordering::Relaxed),
            Some(key) if self.has_listed.load(Ordering::Relaxed) => {
                let key = key.fingerprint();
                return Err(failed(format!("the key {key} is not there any more")));
            }
            Some(_) => {}
        }
        for key in keys {
            let signs = self.signs().get(key.blob()).copied();
            if signs != Some(true) {
                self.sign_file(key, "ready@tpmssh", b"")?;
            }
        }
        Ok(())
    }

    /// [`sign_file`] with this signer. A signature that fails or is wrong is remembered.
    ///
    /// # Errors
    ///
    /// [`Refusal::Signer`].
    pub(crate) fn sign_file(
        &self,
        key: &AnyKey,
        namespace: &str,
        message: &[u8],
    ) -> Result<String, Refusal> {
        sign_file(self, key, namespace, message).inspect_err(|_| self.disbelieve(key))
    }

    /// Remembers that the last signature by `key` was wrong.
    pub(crate) fn disbelieve(&self, key: &AnyKey) {
        self.signs().insert(key.blob().to_vec(), false);
    }

    fn signs(&self) -> std::sync::MutexGuard<'_, HashMap<Vec<u8>, bool>> {
        self.signs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Signer for Watched {
    fn sign(&self, key: &AnyKey, data: &[u8]) -> Result<Signature, Refusal> {
        let done = self.signer.sign(key, data);
        self.signs().insert(key.blob().to_vec(), done.is_ok());
        done
    }

    fn unlisted<'a>(&self, keys: &[&'a AnyKey]) -> Result<Option<&'a AnyKey>, Refusal> {
        self.signer.unlisted(keys)
    }
}

/// The signer for the keys at `place`.
///
/// # Errors
///
/// If its thread cannot be started, or the TPM does not open the sealed keys.
pub fn at(place: &CaPlace) -> anyhow::Result<Box<dyn Signer>> {
    Ok(match place {
        CaPlace::Agent(socket) => Box::new(Agent::new(socket.clone())),
        CaPlace::Token(token) => Box::new(InToken::new(token.clone())?),
        CaPlace::Sealed(file) => Box::new(InMemory::open(file)?),
    })
}

/// Protects the memory of this process before it holds a secret, such as a PIN: no core dumps, and no other process of this user can attach to it.
pub(crate) fn harden() {
    use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    let done = setrlimit(Resource::Core, none)
        .and_then(|()| set_dumpable_behavior(DumpableBehavior::NotDumpable));
    if let Err(err) = done {
        eprintln!("tpmssh-ca: other processes can read this one's memory: {err}");
    }
}

/// A file signature (SSHSIG, armoured) by `key` over `message`.
///
/// # Errors
///
/// [`Refusal::Signer`].
pub fn sign_file(
    signer: &dyn Signer,
    key: &AnyKey,
    namespace: &str,
    message: &[u8],
) -> Result<String, Refusal> {
    let digest = SigHash::Sha512.of(message).map_err(failed)?;
    let data = SshSig::to_sign(namespace, SigHash::Sha512, &digest).map_err(failed)?;
    let signature = signer.sign(key, &data)?;
    key.verify(signature.blob(), &data).map_err(failed)?;
    let file = SshSig::new(key.clone(), namespace, SigHash::Sha512, &signature).map_err(failed)?;
    Ok(file.armored())
}

fn failed(err: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Refusal {
    Refusal::Signer(err.into())
}

/// An agent at a socket.
#[derive(Debug)]
pub struct Agent {
    socket: PathBuf,
    patience: Duration,
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
    /// The agent at `socket`. Each signature uses a new connection.
    #[must_use]
    pub fn new(socket: PathBuf) -> Self {
        Self {
            socket,
            patience: PATIENCE,
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

    /// Sends a message to the agent, and returns its answer, at most `max` bytes.
    ///
    /// # Source
    ///
    /// RFC 9987 section 3.6, "private key operations".
    fn ask(&self, message: &[u8], max: usize) -> io::Result<Vec<u8>> {
        let mut stream = self.connect()?;
        stream.set_read_timeout(Some(self.patience))?;
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
    use std::sync::mpsc::channel;

    use super::*;

    /// A signer whose signatures have the right form, and are always wrong.
    struct Faulty;

    impl Signer for Faulty {
        fn sign(&self, _: &AnyKey, _: &[u8]) -> Result<Signature, Refusal> {
            Signature::ecdsa(Curve::NistP256, &[1; 32], &[1; 32]).map_err(failed)
        }

        fn unlisted<'a>(&self, _: &[&'a AnyKey]) -> Result<Option<&'a AnyKey>, Refusal> {
            Ok(None)
        }
    }

    #[test]
    fn a_key_whose_signature_was_wrong_has_to_show_that_it_signs() {
        let line = "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBGsX0fLhLEJH+Lzm5WOkQPJ3A32BLeszoPShOUXYmMKWT+NC4v4af5uO5+tKfA+eFivOM1drMV7Oy7ZAaDe/UfU=";
        let (key, _) = AnyKey::from_line(line).unwrap();
        let watched = Watched::new(Box::new(Faulty));
        for _ in 0..2 {
            assert!(watched.check(&[&key]).is_err(), "not ready, each time");
        }
        // As if a signature had succeeded before.
        watched.signs().insert(key.blob().to_vec(), true);
        watched.check(&[&key]).unwrap();
        assert!(watched.sign_file(&key, "krl@tpmssh", b"list").is_err());
        assert!(watched.check(&[&key]).is_err(), "not ready after that");
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
