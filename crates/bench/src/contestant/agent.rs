//! A client of an ssh-agent (RFC 9987), only with the messages that a signature needs.

use std::{
    env,
    io::{Read, Write},
    os::unix::net::UnixStream,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

const REQUEST_IDENTITIES: u8 = 11;
const IDENTITIES_ANSWER: u8 = 12;
const SIGN_REQUEST: u8 = 13;
const SIGN_RESPONSE: u8 = 14;
/// Asks RSA keys for SHA-256; ECDSA keys ignore it.
const RSA_SHA2_256: u32 = 2;

/// A connection, and the request for a signature by one key.
pub(super) struct Signer {
    stream: UnixStream,
    request: Vec<u8>,
}

impl Signer {
    pub(super) fn open(label: &str) -> Result<Self> {
        let socket = env::var_os("SSH_AUTH_SOCK").context("SSH_AUTH_SOCK is not set")?;
        let mut stream = UnixStream::connect(socket)?;
        let request = sign_request(&mut stream, label)?;
        Ok(Self { stream, request })
    }

    pub(super) fn sign(&mut self) -> Result<()> {
        self.stream.write_all(&self.request)?;
        signed(&receive(&mut self.stream)?)
    }
}

/// Many clients of one agent.
pub(crate) struct Clients {
    streams: Vec<UnixStream>,
    request: Vec<u8>,
}

impl Clients {
    /// Connects `count` clients, which will ask for signatures by the key `label`.
    ///
    /// # Errors
    ///
    /// If the agent does not accept them.
    pub(crate) fn connect(socket: &Path, count: usize, label: &str) -> Result<Self> {
        let mut first = UnixStream::connect(socket)?;
        let request = sign_request(&mut first, label)?;
        let mut streams = vec![first];
        while streams.len() < count {
            streams.push(UnixStream::connect(socket)?);
        }
        Ok(Self { streams, request })
    }

    /// All ask at once; the time until the last one has its signature.
    ///
    /// # Errors
    ///
    /// If a client gets none.
    pub(crate) fn sign_at_once(&mut self) -> Result<Duration> {
        let start = Instant::now();
        for stream in &mut self.streams {
            stream.write_all(&self.request)?;
        }
        for stream in &mut self.streams {
            signed(&receive(stream)?)?;
        }
        Ok(start.elapsed())
    }
}

/// How long an agent takes to list its keys, and how many those are.
///
/// # Errors
///
/// If it does not answer.
pub(crate) fn ask_all(socket: &Path) -> Result<(Duration, u32)> {
    let mut stream = UnixStream::connect(socket)?;
    let start = Instant::now();
    stream.write_all(&framed(&[REQUEST_IDENTITIES]))?;
    let answer = receive(&mut stream)?;
    let time = start.elapsed();
    let mut rest = identities(&answer)?;
    Ok((time, number(&mut rest)?))
}

/// Finds the key whose comment is, or ends in, `label`, and makes a request to sign with it.
fn sign_request(stream: &mut UnixStream, label: &str) -> Result<Vec<u8>> {
    stream.write_all(&framed(&[REQUEST_IDENTITIES]))?;
    let answer = receive(stream)?;
    let mut rest = identities(&answer)?;
    for _ in 0..number(&mut rest)? {
        let blob = string(&mut rest)?;
        let comment = string(&mut rest)?;
        if comment.ends_with(label.as_bytes()) {
            let mut request = vec![SIGN_REQUEST];
            for part in [blob, &[0x5a; 32]] {
                request.extend_from_slice(&(part.len() as u32).to_be_bytes());
                request.extend_from_slice(part);
            }
            request.extend_from_slice(&RSA_SHA2_256.to_be_bytes());
            return Ok(framed(&request));
        }
    }
    bail!("the agent has no key {label}")
}

fn identities(answer: &[u8]) -> Result<&[u8]> {
    match answer {
        [IDENTITIES_ANSWER, rest @ ..] => Ok(rest),
        _ => bail!("the agent lists nothing"),
    }
}

fn signed(answer: &[u8]) -> Result<()> {
    match answer.first() {
        Some(&SIGN_RESPONSE) => Ok(()),
        _ => bail!("the agent does not sign"),
    }
}

fn framed(message: &[u8]) -> Vec<u8> {
    [&(message.len() as u32).to_be_bytes(), message].concat()
}

fn receive(stream: &mut UnixStream) -> Result<Vec<u8>> {
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let mut message = vec![0; u32::from_be_bytes(length) as usize];
    stream.read_exact(&mut message)?;
    Ok(message)
}

fn number(rest: &mut &[u8]) -> Result<u32> {
    let (number, more) = rest.split_first_chunk().context("an answer cut short")?;
    *rest = more;
    Ok(u32::from_be_bytes(*number))
}

fn string<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8]> {
    let length = number(rest)? as usize;
    let (string, more) = rest
        .split_at_checked(length)
        .context("an answer cut short")?;
    *rest = more;
    Ok(string)
}
