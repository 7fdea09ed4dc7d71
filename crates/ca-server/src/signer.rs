//! The authority's keys, which are in an agent: `tpmssh agent` with a TPM, or any other with an HSM.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
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
    fn ask(&self, message: &[u8]) -> io::Result<Vec<u8>> {
        let mut stream = UnixStream::connect(&self.socket)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let mut framed = Vec::new();
        put_string(&mut framed, message);
        stream.write_all(&framed)?;
        let mut len = [0; 4];
        stream.read_exact(&mut len)?;
        let len = usize::try_from(u32::from_be_bytes(len)).unwrap_or(usize::MAX);
        if len > MAX_ANSWER {
            return Err(io::Error::other("the agent's answer is too long"));
        }
        let mut answer = vec![0; len];
        stream.read_exact(&mut answer)?;
        Ok(answer)
    }
}

impl Signer for Agent {
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
        let answer = self.ask(&message).map_err(|err| {
            let socket = self.socket.display();
            failed(format!("the agent at {socket} does not answer: {err}"))
        })?;
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
