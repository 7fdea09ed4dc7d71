//! Check V1: the path from an endorsement key's certificate to one that the verifier trusts.
//!
//! `rustls-webpki` cannot be used. It refuses critical certificate policies, which the intermediate certificates of three large makers
//! have. It also wants issuers to have the extended key usage of an endorsement key.

use base64ct::{Base64, Encoding};
use x509_cert::der::{Encode, asn1::ObjectIdentifier as Oid};

use super::certificate::{EkCertificate, Parsed, oid};
use crate::{Check, Error, HashAlg, Result, curves, error::refuse, hash::sha256};

/// The most certificates of a path, the first and the trusted one included.
const MAX_PATH: usize = 4;

/// The most certificates that a prover may send besides that of its endorsement key. A chip may have paths for several kinds of keys.
const MAX_CHAIN: usize = 16;

/// The most signatures that are checked in one search. Certificates that have all signed each other would make very many paths.
const MAX_SIGNATURES: u32 = 32;

/// Certificates that the verifier trusts: makers' roots, or intermediate certificates.
///
/// Their own signatures are not checked. So an intermediate certificate can be trusted whose issuer still signs with SHA-1. Validity,
/// critical extensions and the right to sign are checked with each path.
#[derive(Debug, Clone, Default)]
pub struct Anchors(Vec<Parsed>);

/// A trusted certificate, for a person to look at.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Anchor {
    /// The subject (RFC 4514), without control characters.
    pub subject: String,
    /// The SHA-256 of the certificate.
    pub fingerprint: [u8; 32],
    /// The certificate, DER.
    pub der: Vec<u8>,
}

const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";

/// The certificates of a file: one in DER, or any number in PEM.
pub(super) fn in_file(bytes: &[u8]) -> Result<Vec<Vec<u8>>> {
    match std::str::from_utf8(bytes) {
        Ok(text) if text.contains(BEGIN) => from_pem(text),
        _ => Ok(vec![bytes.to_vec()]),
    }
}

impl Anchors {
    /// No certificates: every path is refused.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the certificates of a file as makers publish them: one in DER, or any number in PEM.
    ///
    /// # Errors
    ///
    /// [`Error::Malformed`] if a certificate cannot be read; [`Error::Refused`] if a certificate says that it is not that of an authority.
    /// Nothing is added then.
    pub fn add_file(&mut self, bytes: &[u8]) -> Result<()> {
        let mut all = Vec::new();
        for der in in_file(bytes)? {
            let anchor = Parsed::read(&der)?;
            if anchor.is_ca()?.is_some_and(|it| !it.ca) {
                return refuse(
                    Check::V1,
                    "a certificate to be trusted is not that of an authority",
                );
            }
            all.push(anchor);
        }
        self.0.extend(all);
        Ok(())
    }

    /// The certificates, in the order in which they were added.
    pub fn iter(&self) -> impl Iterator<Item = Anchor> + '_ {
        self.0.iter().map(|it| Anchor {
            subject: it.subject_text(),
            fingerprint: sha256(&[&it.der]),
            der: it.der.clone(),
        })
    }

    /// Whether there are no certificates.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Checks that a path leads from `leaf` through certificates in `chain` (DER, in any order, at most 16) to one of these, and that each is
    /// valid at `now` (seconds since 1970) unless `ignore_expiry`. Returns the SHA-256 of the trusted certificate.
    ///
    /// # Errors
    ///
    /// [`Error::Refused`] by V1; [`Error::Expired`]; [`Error::Malformed`] for a certificate in `chain` that cannot be read.
    pub fn check(
        &self,
        leaf: &EkCertificate,
        chain: &[Vec<u8>],
        now: u64,
        ignore_expiry: bool,
    ) -> Result<[u8; 32]> {
        if chain.len() > MAX_CHAIN {
            return refuse(Check::V1, "there are too many certificates");
        }
        let chain: Vec<Parsed> = chain
            .iter()
            .map(|der| Parsed::read(der))
            .collect::<Result<_>>()?;
        let when = (!ignore_expiry).then_some(now);
        check_time(&leaf.0, when)?;
        let mut search = Search {
            anchors: &self.0,
            chain: &chain,
            when,
            signatures: MAX_SIGNATURES,
        };
        let trusted = search.climb(&mut vec![&leaf.0])?;
        Ok(sha256(&[&trusted.der]))
    }
}

/// The search for a path. Two certificates may have the same name and key, because a maker renewed one: all paths are tried, and one good path is
/// enough.
struct Search<'a> {
    anchors: &'a [Parsed],
    chain: &'a [Parsed],
    /// Seconds since 1970; `None` if the time does not matter.
    when: Option<u64>,
    /// How many more signatures may be checked.
    signatures: u32,
}

impl<'a> Search<'a> {
    /// Extends `path`, which is not empty, until a trusted certificate has signed its last one. Returns the trusted certificate.
    fn climb(&mut self, path: &mut Vec<&'a Parsed>) -> Result<&'a Parsed> {
        const NO_PATH: &str = "no path leads from its certificate to a trusted one";
        let Some(&current) = path.last() else {
            return refuse(Check::V1, NO_PATH);
        };
        // How many certificates are between the first one and the issuer of the last one.
        let below = path.len() - 1;
        let mut refused = None;
        for anchor in self.anchors {
            if self.has_signed(anchor, current)? {
                let good = check_time(anchor, self.when)
                    .and_then(|()| anchor.check_critical())
                    .and_then(|()| check_issuer(anchor, below, true));
                match good {
                    Ok(()) => return Ok(anchor),
                    Err(err) => refused = refused.or(Some(err)),
                }
            }
        }
        for next in self.chain {
            let is_new = path.iter().all(|it| it.der != next.der);
            if is_new && self.has_signed(next, current)? {
                match self.step(path, next, below) {
                    Ok(trusted) => return Ok(trusted),
                    Err(err) => refused = refused.or(Some(err)),
                }
            }
        }
        refused.map_or_else(|| refuse(Check::V1, NO_PATH), Err)
    }

    /// Continues the search with `next`, which has signed the last certificate of `path`.
    fn step(
        &mut self,
        path: &mut Vec<&'a Parsed>,
        next: &'a Parsed,
        below: usize,
    ) -> Result<&'a Parsed> {
        check_time(next, self.when)?;
        next.check_critical()?;
        check_issuer(next, below, false)?;
        // A trusted certificate has to come after `next`.
        if path.len() + 1 >= MAX_PATH {
            return refuse(
                Check::V1,
                "the path from its certificate to a trusted one is too long",
            );
        }
        path.push(next);
        let result = self.climb(path);
        path.pop();
        result
    }

    /// Whether `certificate` names `issuer` as its issuer, and the key of `issuer` has signed it.
    ///
    /// Signatures with SHA-1, MD5 or DSA do not count.
    fn has_signed(&mut self, issuer: &Parsed, certificate: &Parsed) -> Result<bool> {
        if issuer.subject != certificate.issuer {
            return Ok(false);
        }
        let Some(left) = self.signatures.checked_sub(1) else {
            return refuse(Check::V1, "there are too many signatures to check");
        };
        self.signatures = left;
        Ok(verify(issuer, certificate).is_some())
    }
}

fn from_pem(text: &str) -> Result<Vec<Vec<u8>>> {
    let bad = |why| Error::malformed("certificate file", why);
    text.split(BEGIN)
        .skip(1)
        .map(|part| {
            let (body, _) = part
                .split_once(END)
                .ok_or_else(|| bad("a certificate has no end"))?;
            let body: String = body.split_ascii_whitespace().collect();
            Base64::decode_vec(&body).map_err(|_| bad("a certificate is not base64"))
        })
        .collect()
}

fn check_time(certificate: &Parsed, now: Option<u64>) -> Result<()> {
    let Some(now) = now else { return Ok(()) };
    let validity = &certificate.inner.tbs_certificate.validity;
    if now < validity.not_before.to_unix_duration().as_secs() {
        return refuse(Check::V1, "a certificate is not valid yet");
    }
    if now > validity.not_after.to_unix_duration().as_secs() {
        return Err(Error::Expired);
    }
    Ok(())
}

/// Checks that `issuer` may sign a path with `below` certificates between it and the first one.
fn check_issuer(issuer: &Parsed, below: usize, is_trusted: bool) -> Result<()> {
    let v1 = |why| refuse(Check::V1, why);
    match issuer.is_ca()? {
        Some(it) if !it.ca => return v1("a certificate is signed by one that is no authority's"),
        Some(it)
            if it
                .path_len_constraint
                .is_some_and(|most| below > usize::from(most)) =>
        {
            return v1("the path is longer than an authority allows");
        }
        Some(_) => {}
        // Certificates of X.509 version 1 have no basic constraints. That is accepted for trusted certificates only.
        None if is_trusted => {}
        None => return v1("a certificate is signed by one that is no authority's"),
    }
    if issuer.may_sign_certificates()? {
        Ok(())
    } else {
        v1("a certificate is signed by a key that may not do so")
    }
}

const SHA256_RSA: Oid = Oid::new_unwrap("1.2.840.113549.1.1.11");
const SHA384_RSA: Oid = Oid::new_unwrap("1.2.840.113549.1.1.12");
const SHA512_RSA: Oid = Oid::new_unwrap("1.2.840.113549.1.1.13");
const ECDSA_SHA256: Oid = Oid::new_unwrap("1.2.840.10045.4.3.2");
const ECDSA_SHA384: Oid = Oid::new_unwrap("1.2.840.10045.4.3.3");
const ECDSA_SHA512: Oid = Oid::new_unwrap("1.2.840.10045.4.3.4");

/// `Some` if the key of `issuer` has signed `certificate`.
fn verify(issuer: &Parsed, certificate: &Parsed) -> Option<()> {
    let inner = &certificate.inner;
    let algorithm = &inner.signature_algorithm;
    // The algorithm is in the certificate twice, once inside of the signed part.
    if inner.tbs_certificate.signature.to_der().ok()? != algorithm.to_der().ok()? {
        return None;
    }
    let signature = inner.signature.as_bytes()?;
    let spki = &issuer.inner.tbs_certificate.subject_public_key_info;
    let key = spki.subject_public_key.as_bytes()?;
    let (hash, is_rsa) = match algorithm.oid {
        SHA256_RSA => (HashAlg::Sha256, true),
        SHA384_RSA => (HashAlg::Sha384, true),
        SHA512_RSA => (HashAlg::Sha512, true),
        ECDSA_SHA256 => (HashAlg::Sha256, false),
        ECDSA_SHA384 => (HashAlg::Sha384, false),
        ECDSA_SHA512 => (HashAlg::Sha512, false),
        _ => return None,
    };
    let is_good = match (is_rsa, spki.algorithm.oid) {
        (true, oid::RSA) => curves::rsa_spki_verifies(key, hash, &certificate.tbs, signature),
        (false, oid::EC) => {
            let curve = spki
                .algorithm
                .parameters
                .as_ref()?
                .decode_as::<Oid>()
                .ok()?;
            match curve {
                oid::P256 => curves::p256_spki_verifies(key, hash, &certificate.tbs, signature),
                oid::P384 => curves::p384_spki_verifies(key, hash, &certificate.tbs, signature),
                _ => false,
            }
        }
        _ => false,
    };
    is_good.then_some(())
}
