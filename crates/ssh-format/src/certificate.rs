//! OpenSSH certificates: parsing and verifying.
//!
//! They are parsed here and not by `ssh-key`: its version 0.6 refuses a certificate that never
//! expires (an end of 2^64 - 1), which `ssh-keygen` makes by default.

use std::fmt;

use crate::any_key::blob_of_line;
use crate::key_line::line_of_blob;
use crate::key_type::KeyType;
use crate::wire::{Reader, put_string};
use crate::{AnyKey, Error, Fingerprint, Result};

mod option;
mod request;

pub use option::CertOption;
pub use request::{CertificateRequest, Unsigned};

/// The most principals that OpenSSH accepts in one certificate (`SSHKEY_CERT_MAX_PRINCIPALS`).
pub const MAX_PRINCIPALS: usize = 256;

/// Whether a certificate is for users or for hosts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CertificateKind {
    /// `SSH_CERT_TYPE_USER`.
    User,
    /// `SSH_CERT_TYPE_HOST`.
    Host,
}

/// Where a time lies relative to the validity of a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CertificateState {
    /// Before it begins.
    NotYetValid,
    /// Within.
    Valid,
    /// At its end or later.
    Expired,
}

/// An OpenSSH certificate: a key, its principals and options, and its time of validity, signed by
/// an authority.
///
/// Parsing checks no signature. [`verify`](Self::verify) checks the signature of the authority that
/// the certificate names. The caller must check that this authority is trusted.
///
/// # Source
///
/// PROTOCOL.certkeys of OpenSSH.
#[derive(Clone, PartialEq, Eq)]
pub struct Certificate {
    blob: Vec<u8>,
    algorithm: &'static str,
    key: AnyKey,
    serial: u64,
    kind: CertificateKind,
    key_id: String,
    principals: Vec<String>,
    valid_after: u64,
    valid_before: u64,
    critical_options: Vec<CertOption>,
    extensions: Vec<CertOption>,
    authority: AnyKey,
    /// The length of the signed part of the blob, in bytes.
    signed_len: usize,
    signature: Vec<u8>,
}

impl Certificate {
    /// A certificate from its blob.
    ///
    /// # Errors
    ///
    /// [`Error::Cut`] and [`Error::Malformed`]; [`Error::UnknownCertificate`] for an unknown key
    /// type, because the end of such a key cannot be found.
    pub fn from_blob(blob: &[u8]) -> Result<Self> {
        let mut reader = Reader::new(blob, "certificate");
        let algorithm = reader.text("type")?;
        let kind = KeyType::of_certificate(algorithm)
            .ok_or_else(|| Error::UnknownCertificate(algorithm.to_owned()))?;
        let _nonce = reader.string()?;
        let key = read_key(&mut reader, kind)?;
        let serial = reader.u64()?;
        let cert_kind = match reader.u32()? {
            1 => CertificateKind::User,
            2 => CertificateKind::Host,
            _ => return Err(reader.malformed("it is neither a user's nor a host's")),
        };
        let key_id = reader.text("key id")?.to_owned();
        let principals = read_principals(reader.nested()?)?;
        let (valid_after, valid_before) = (reader.u64()?, reader.u64()?);
        let critical_options = option::read_all(reader.nested()?)?;
        let extensions = option::read_all(reader.nested()?)?;
        if let Some(name) = option::malformed(&critical_options, &extensions) {
            return Err(reader.malformed(format!("its option {name} carries something else")));
        }
        let _reserved = reader.string()?;
        let authority = reader.string()?;
        let authority = AnyKey::from_blob(authority).map_err(|err| {
            reader.malformed(format!("the key of its authority is unusable: {err}"))
        })?;
        let signed_len = blob.len() - reader.rest().len();
        let signature = reader.string()?.to_vec();
        reader.finish()?;
        Ok(Self {
            blob: blob.to_vec(),
            algorithm: kind.certificate,
            key,
            serial,
            kind: cert_kind,
            key_id,
            principals,
            valid_after,
            valid_before,
            critical_options,
            extensions,
            authority,
            signed_len,
            signature,
        })
    }

    /// A certificate, and its comment, from a line of a `-cert.pub` file.
    ///
    /// # Errors
    ///
    /// Those of [`from_blob`](Self::from_blob), and [`Error::Malformed`] if the line is
    /// something else.
    pub fn from_line(line: &str) -> Result<(Self, &str)> {
        let (blob, comment) = blob_of_line(line, "certificate")?;
        Ok((Self::from_blob(&blob)?, comment))
    }

    /// The name of its type, such as `ssh-ed25519-cert-v01@openssh.com`.
    #[must_use]
    pub fn algorithm(&self) -> &'static str {
        self.algorithm
    }

    /// The certificate as the SSH protocol and the agent's protocol carry it.
    #[must_use]
    pub fn blob(&self) -> &[u8] {
        &self.blob
    }

    /// The line for a `-cert.pub` file, without a line feed.
    #[must_use]
    pub fn line(&self, comment: &str) -> String {
        line_of_blob(self.algorithm, &self.blob, comment)
    }

    /// The key that it is for.
    #[must_use]
    pub fn key(&self) -> &AnyKey {
        &self.key
    }

    /// Its serial number; 0 if the authority gives no numbers.
    #[must_use]
    pub fn serial(&self) -> u64 {
        self.serial
    }

    /// Whether it is for users or for hosts.
    #[must_use]
    pub fn kind(&self) -> CertificateKind {
        self.kind
    }

    /// Its key id, which servers log.
    #[must_use]
    pub fn key_id(&self) -> &str {
        &self.key_id
    }

    /// The names of users or hosts that its key is valid for; at most [`MAX_PRINCIPALS`].
    ///
    /// Empty means **any** name. This crate makes no certificate without principals.
    #[must_use]
    pub fn principals(&self) -> &[String] {
        &self.principals
    }

    /// When its validity begins, in seconds since 1970; 0 if there is no limit.
    #[must_use]
    pub fn valid_after(&self) -> u64 {
        self.valid_after
    }

    /// When its validity ends (the first second in which it is invalid), in seconds since 1970;
    /// [`u64::MAX`] if there is no limit.
    #[must_use]
    pub fn valid_before(&self) -> u64 {
        self.valid_before
    }

    /// Where `now`, in seconds since 1970, lies relative to its validity.
    #[must_use]
    pub fn state(&self, now: u64) -> CertificateState {
        // In this order of checks, a certificate that ends before it begins is never valid.
        if now >= self.valid_before {
            CertificateState::Expired
        } else if now < self.valid_after {
            CertificateState::NotYetValid
        } else {
            CertificateState::Valid
        }
    }

    /// Its critical options, which limit its use. A program that does not know one of them must
    /// refuse the certificate.
    #[must_use]
    pub fn critical_options(&self) -> &[CertOption] {
        &self.critical_options
    }

    /// Its extensions, which allow something. A program ignores those that it does not know.
    #[must_use]
    pub fn extensions(&self) -> &[CertOption] {
        &self.extensions
    }

    /// The key of its authority, as the certificate states it.
    #[must_use]
    pub fn authority(&self) -> &AnyKey {
        &self.authority
    }

    /// The fingerprint of the key that it is for.
    #[must_use]
    pub fn key_fingerprint(&self) -> Fingerprint {
        self.key.fingerprint()
    }

    /// Checks the signature of the authority that it names.
    ///
    /// # Errors
    ///
    /// Those of [`AnyKey::verify`].
    pub fn verify(&self) -> Result<()> {
        self.authority
            .verify(&self.signature, &self.blob[..self.signed_len])
    }

    /// Checks that OpenSSH knows every critical option.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownCriticalOption`] with the first unknown one.
    pub fn check_critical_options(&self) -> Result<()> {
        let known: &[&str] = match self.kind {
            CertificateKind::User => &["force-command", "source-address", "verify-required"],
            CertificateKind::Host => &[],
        };
        let mut options = self.critical_options.iter();
        match options.find(|option| !known.contains(&option.name())) {
            Some(option) => Err(Error::UnknownCriticalOption(option.name().to_owned())),
            None => Ok(()),
        }
    }
}

impl From<&Certificate> for AnyKey {
    /// The key that the certificate is for.
    fn from(certificate: &Certificate) -> Self {
        certificate.key().clone()
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate")
            .field("key", &self.key)
            .field("serial", &self.serial)
            .field("kind", &self.kind)
            .field("key_id", &self.key_id)
            .finish_non_exhaustive()
    }
}

/// The key in a certificate: the same fields as in the key's own blob, without its type.
fn read_key(reader: &mut Reader<'_>, kind: KeyType) -> Result<AnyKey> {
    let mut blob = Vec::new();
    put_string(&mut blob, kind.name.as_bytes());
    for _ in 0..kind.fields.count() {
        put_string(&mut blob, reader.string()?);
    }
    AnyKey::from_blob(&blob)
}

fn read_principals(mut reader: Reader<'_>) -> Result<Vec<String>> {
    let mut principals = Vec::new();
    while !reader.is_empty() {
        if principals.len() == MAX_PRINCIPALS {
            return Err(reader.malformed("it has more than 256 principals"));
        }
        principals.push(reader.text("principal")?.to_owned());
    }
    Ok(principals)
}

#[cfg(test)]
mod tests;
