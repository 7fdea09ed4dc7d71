//! The authority's keys, which are in an agent: `tpmssh agent` with a TPM, or any other with an HSM.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ssh_format::wire::{Reader, put_string, put_u32};
use ssh_format::{AnyKey, Curve, RsaHash, SigHash, Signature, SshSig};

use crate::Refusal;

/// What signs certificates.
pub trait Signer: Send + Sync {
    /// A signature by `key` over `data`.
    ///
    /// # Errors
    ///
    /// [`Refusal::Signer`].
    fn sign(&self, key: &AnyKey, data: &[u8]) -> Result<Signature, Refusal>;

    /// Whether all of these keys are there. It costs no signature, so it does not show that they sign.
    ///
    /// # Errors
    ///
    /// [`Refusal::Signer`].
    fn has(&self, keys: &[&AnyKey]) -> Result<(), Refusal>;
}

/// A signer that remembers whether the last signature has failed.
pub(crate) struct Watched {
    signer: Box<dyn Signer>,
    failed: AtomicBool,
}

impl Watched {
    pub(crate) fn new(signer: Box<dyn Signer>) -> Self {
        let failed = AtomicBool::new(false);
        Self { signer, failed }
    }

    pub(crate) fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Relaxed)
    }
}

impl Signer for Watched {
    fn sign(&self, key: &AnyKey, data: &[u8]) -> Result<Signature, Refusal> {
        let done = self.signer.sign(key, data);
        self.failed.store(done.is_err(), Ordering::Relaxed);
        done
    }

    fn has(&self, keys: &[&AnyKey]) -> Result<(), Refusal> {
        self.signer.has(keys)
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
}

/// A TPM signs in a tenth of a second; somebody may have to touch a token.
const PATIENCE: Duration = Duration::from_secs(10);
/// A signature with RSA-16384 is 2 KiB.
const MAX_ANSWER: usize = 16 * 1024;
/// A list of keys, with the certificates beside them.
const MAX_LIST: usize = 256 * 1024;
const REQUEST_IDENTITIES: u8 = 11;
const IDENTITIES_ANSWER: u8 = 12;
const SIGN_REQUEST: u8 = 13;
const SIGN_RESPONSE: u8 = 14;
/// `SSH_AGENT_RSA_SHA2_512`.
const RSA_SHA2_512: u32 = 4;

impl Agent {
    /// The agent at `socket`, which is connected to for each signature.
    #[must_use]
    pub fn new(socket: PathBuf) -> Self {
        Self { socket }
    }

    /// # Source
    ///
    /// RFC 9987 section 3.6, "private key operations".
    fn ask(&self, message: &[u8], max: usize) -> io::Result<Vec<u8>> {
        let mut stream = UnixStream::connect(&self.socket)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
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
    fn has(&self, keys: &[&AnyKey]) -> Result<(), Refusal> {
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
        match keys.iter().find(|key| !listed.contains(&key.blob())) {
            Some(key) => {
                let key = key.fingerprint();
                Err(failed(format!("the agent does not have the key {key}")))
            }
            None => Ok(()),
        }
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
        let signature = Reader::new(rest, "signature")
            .string()
            .and_then(read_signature)
            .map_err(failed)?;
        // A faulty chip must not give its key away.
        key.verify(signature.blob(), data).map_err(failed)?;
        Ok(signature)
    }
}

/// A signature blob.
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
