//! What the commands of `tpmssh` say to a running agent.

use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::net::sockopt::socket_peercred;
use ssh_keys::Attested;
use zeroize::Zeroizing;

use crate::ask::proxy::listed;
use crate::protocol::{
    ATTEST, LOCK, Listed, MAX_FRAME, Reader, STATUS, UNLOCK, fields, put_string,
};
use crate::serve::socket::unreachable_agent;
use crate::status::Status;
use crate::{Error, Result};

const REQUEST_IDENTITIES: u8 = 11;
const EXTENSION: u8 = 27;
const SUCCESS: u8 = 6;
const EXTENSION_RESPONSE: u8 = 29;

/// How long a login may take.
const PATIENCE: Duration = Duration::from_secs(300);
/// How long an answer may take that needs neither a TPM nor a person.
const SOON: Duration = Duration::from_secs(10);

/// A connection to an agent of this user.
#[derive(Debug)]
pub struct Client {
    stream: UnixStream,
    path: PathBuf,
    pid: Option<i32>,
}

impl Client {
    /// Connects to the agent at `path`.
    ///
    /// # Errors
    ///
    /// [`Error::NotRunning`], [`Error::SocketGone`]; [`Error::Foreign`] if it belongs to another user, who must not
    /// get a PIN.
    pub fn connect(path: &Path) -> Result<Self> {
        let gone = |source| Error::NotRunning {
            path: path.into(),
            source,
        };
        let stream = UnixStream::connect(path)
            .map_err(|err| unreachable_agent(path).unwrap_or_else(|| gone(err)))?;
        let peer = socket_peercred(&stream).map_err(|err| gone(err.into()))?;
        if peer.uid != rustix::process::geteuid() {
            return Err(Error::Foreign { path: path.into() });
        }
        // A login may wait for another program at the TPM.
        stream.set_read_timeout(Some(PATIENCE)).map_err(gone)?;
        Ok(Self {
            stream,
            path: path.into(),
            pid: Some(peer.pid.as_raw_nonzero().get()),
        })
    }

    /// The process that listens at the socket: the agent, or systemd if it made the socket.
    #[must_use]
    pub fn pid(&self) -> Option<i32> {
        self.pid
    }

    /// What the agent says of itself; `None` if it is another program, or too old to say.
    ///
    /// # Errors
    ///
    /// [`Error::Silent`] if it does not answer within ten seconds, [`Error::NotRunning`] if it ends.
    pub fn status(&mut self) -> Result<Option<Status>> {
        let mut message = vec![EXTENSION];
        put_string(&mut message, STATUS.as_bytes());
        let answer = self.ask_soon(&message)?;
        let status = answer_of(&answer, STATUS).and_then(|mut reader| reader.string().ok());
        Ok(status.and_then(|json| serde_json::from_slice(json).ok()))
    }

    /// The keys that an agent of any kind lists for this program; `None` if it lists none because
    /// it is no agent.
    ///
    /// # Errors
    ///
    /// [`Error::Silent`] if it does not answer within ten seconds, [`Error::NotRunning`] if it ends.
    pub fn keys(&mut self) -> Result<Option<Vec<Listed>>> {
        let answer = self.ask_soon(&[REQUEST_IDENTITIES])?;
        Ok(listed(&answer))
    }

    /// The answer to a question that needs neither a TPM nor a person.
    fn ask_soon(&mut self, message: &[u8]) -> Result<Vec<u8>> {
        let failed = |source: io::Error| match (source.kind(), self.pid) {
            (ErrorKind::WouldBlock | ErrorKind::TimedOut, Some(pid)) => Error::Silent {
                path: self.path.clone(),
                pid,
            },
            _ => Error::NotRunning {
                path: self.path.clone(),
                source,
            },
        };
        let limit = |time| self.stream.set_read_timeout(Some(time)).map_err(failed);
        limit(SOON)?;
        let answer = exchange(&self.stream, message).map_err(failed)?;
        limit(PATIENCE)?;
        Ok(answer)
    }

    /// Hands over the PIN of a token, by its serial number, for `time` or as the agent's
    /// policy has it. A wrong one costs a try.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] with the reason, [`Error::NotOurs`], [`Error::NotRunning`].
    pub fn unlock(&mut self, serial: &str, pin: &[u8], time: Option<Duration>) -> Result<()> {
        let seconds = time.map_or(0, |time| u32::try_from(time.as_secs()).unwrap_or(u32::MAX));
        let mut contents = Zeroizing::new(Vec::with_capacity(1024 + pin.len()));
        put_string(&mut contents, serial.as_bytes());
        put_string(&mut contents, pin);
        contents.extend_from_slice(&seconds.to_be_bytes());
        self.extension(UNLOCK, &contents)
    }

    /// Ends all logins.
    ///
    /// # Errors
    ///
    /// [`Error::NotOurs`], [`Error::NotRunning`].
    pub fn lock(&mut self) -> Result<()> {
        self.extension(LOCK, &[])
    }

    /// Has a challenge answered with a login that the agent has; `key` is the key's blob. Never leads to a
    /// question for the PIN.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] with the reason; [`Error::NotOurs`] also if the agent is locked or does not know how to;
    /// [`Error::NotRunning`].
    pub fn attest(&mut self, key: &[u8], request: &[u8; 32], nonce: &[u8; 32]) -> Result<Attested> {
        let mut message = vec![EXTENSION];
        for field in [ATTEST.as_bytes(), key, request, nonce] {
            put_string(&mut message, field);
        }
        let answer = self.exchange(&message)?;
        match attested(&answer) {
            Some(attested) => Ok(attested),
            None => Err(refusal(&answer, ATTEST).unwrap_or(self.not_ours())),
        }
    }

    fn extension(&mut self, name: &str, contents: &[u8]) -> Result<()> {
        let mut message = Zeroizing::new(Vec::with_capacity(64 + contents.len()));
        message.push(EXTENSION);
        put_string(&mut message, name.as_bytes());
        message.extend_from_slice(contents);
        let answer = self.exchange(&message)?;
        match answer.first() {
            Some(&SUCCESS) => Ok(()),
            Some(&EXTENSION_RESPONSE) => Err(refusal(&answer, name).unwrap_or(self.not_ours())),
            _ => Err(self.not_ours()),
        }
    }

    fn exchange(&self, message: &[u8]) -> Result<Vec<u8>> {
        exchange(&self.stream, message).map_err(|source| Error::NotRunning {
            path: self.path.clone(),
            source,
        })
    }

    fn not_ours(&self) -> Error {
        Error::NotOurs {
            path: self.path.clone(),
        }
    }
}

/// The answer to a refused request of the extension `name`: an exit code and a reason.
fn refusal(answer: &[u8], name: &str) -> Option<Error> {
    let mut reader = answer_of(answer, name)?;
    let code = reader.byte().ok()?;
    let message = reader.text("reason").ok()?.to_owned();
    Some(Error::Refused { message, code })
}

/// The answer to an accepted [`ATTEST`].
fn attested(answer: &[u8]) -> Option<Attested> {
    let mut reader = answer_of(answer, ATTEST)?;
    if reader.byte().ok()? != 0 {
        return None;
    }
    let attested = Attested {
        attest: reader.string().ok()?.to_vec(),
        signature: reader.string().ok()?.to_vec(),
        sshsig: reader.text("signature").ok()?.to_owned(),
    };
    reader.finish().ok()?;
    Some(attested)
}

/// The contents of an answer of the extension `name`.
fn answer_of<'a>(answer: &'a [u8], name: &str) -> Option<Reader<'a>> {
    let (&EXTENSION_RESPONSE, contents) = answer.split_first()? else {
        return None;
    };
    let mut reader = fields(contents);
    (reader.text("extension").ok()? == name).then_some(reader)
}

/// Sends a message and waits for the answer.
fn exchange(mut stream: &UnixStream, message: &[u8]) -> io::Result<Vec<u8>> {
    let mut frame = Zeroizing::new(Vec::with_capacity(4 + message.len()));
    put_string(&mut frame, message);
    stream.write_all(&frame)?;
    let mut header = [0; 4];
    stream.read_exact(&mut header)?;
    let len = usize::try_from(u32::from_be_bytes(header)).unwrap_or(usize::MAX);
    if len == 0 || len > MAX_FRAME {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut answer = vec![0; len];
    stream.read_exact(&mut answer)?;
    Ok(answer)
}
