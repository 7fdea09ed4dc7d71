//! Making certificates, for an authority whose key is in a device.

use super::{Certificate, CertificateKind, MAX_PRINCIPALS, option};
use crate::key_type::KeyType;
use crate::wire::{Reader, put_nested, put_string, put_u32, put_u64};
use crate::{AnyKey, CertOption, Error, Result, Signature};

/// The contents of a new certificate.
#[derive(Debug, Clone)]
pub struct CertificateRequest {
    /// The key that is certified.
    pub key: AnyKey,
    /// The serial number. The authority must use it only once.
    pub serial: u64,
    /// Whether it is a user's or a host's.
    pub kind: CertificateKind,
    /// The key id, which servers log when the certificate is used.
    pub key_id: String,
    /// The names of users or hosts that the key is valid for. It must not be empty, which would
    /// mean any name.
    pub principals: Vec<String>,
    /// When its validity begins, in seconds since 1970.
    pub valid_after: u64,
    /// When its validity ends (the first second in which it is invalid), in seconds since 1970.
    pub valid_before: u64,
    /// The critical options.
    pub critical_options: Vec<CertOption>,
    /// The extensions.
    pub extensions: Vec<CertOption>,
}

/// A certificate without its signature.
#[derive(Debug, Clone)]
pub struct Unsigned(Vec<u8>);

impl CertificateRequest {
    /// The certificate that `authority` has to sign. `nonce` must be random, so that a person who
    /// requests certificates cannot choose the signed bytes.
    ///
    /// # Errors
    ///
    /// [`Error::Request`] if OpenSSH would refuse a part of it, or read it as "any".
    pub fn unsigned(&self, nonce: &[u8; 32], authority: &AnyKey) -> Result<Unsigned> {
        self.check()?;
        let kind = KeyType::named(self.key.algorithm())
            .ok_or(Error::Request("for a key of this type cannot be made"))?;
        let mut out = Vec::new();
        put_string(&mut out, kind.certificate.as_bytes());
        put_string(&mut out, nonce);
        let mut key = Reader::new(self.key.blob(), "public key");
        key.string()?;
        out.extend(key.rest());
        put_u64(&mut out, self.serial);
        let number = match self.kind {
            CertificateKind::User => 1,
            CertificateKind::Host => 2,
        };
        put_u32(&mut out, number);
        put_string(&mut out, self.key_id.as_bytes());
        put_nested(&mut out, |out| {
            for principal in &self.principals {
                put_string(out, principal.as_bytes());
            }
        });
        put_u64(&mut out, self.valid_after);
        put_u64(&mut out, self.valid_before);
        option::put_all(&mut out, &self.critical_options)?;
        option::put_all(&mut out, &self.extensions)?;
        put_string(&mut out, &[]); // reserved
        put_string(&mut out, authority.blob());
        Ok(Unsigned(out))
    }

    fn check(&self) -> Result<()> {
        let unusable = |text: &String| text.is_empty() || text.contains(['\0', ',', '\n']);
        let why = match self.principals.len() {
            0 => "needs at least one principal",
            n if n > MAX_PRINCIPALS => "has at most 256 principals",
            _ if self.principals.iter().any(unusable) => {
                "cannot have a principal that is empty, or has a comma or a line feed in it"
            }
            _ if self.key_id.is_empty() => "needs a key id",
            _ if self.key_id.contains('\0') => "cannot have a NUL in its key id",
            _ if self.valid_after >= self.valid_before => "cannot end before it begins",
            _ if option::malformed(&self.critical_options, &self.extensions).is_some() => {
                "has options of OpenSSH only with what OpenSSH expects in them"
            }
            _ => return Ok(()),
        };
        Err(Error::Request(why))
    }
}

impl Unsigned {
    /// The bytes to sign.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// The certificate with the signature of its authority, after verifying the signature.
    ///
    /// # Errors
    ///
    /// [`Error::BadSignature`] if the authority's key did not sign these bytes.
    pub fn signed(self, signature: &Signature) -> Result<Certificate> {
        let mut blob = self.0;
        put_string(&mut blob, signature.blob());
        let certificate = Certificate::from_blob(&blob)?;
        certificate.verify()?;
        Ok(certificate)
    }
}
