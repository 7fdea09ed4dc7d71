//! TLS certificates that the authority makes itself: a private CA, and a certificate for the names of the authority.
//!
//! The key of the CA stays in the directory of the node, with mode 0600. Without it, each renewal would need a new CA, which machines do not know.
//! A thief gains little more from it than from the key of the certificate, which has to be in the same directory: neither signs SSH certificates.

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use rand_core::{OsRng, RngCore};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, SerialNumber,
};
use sha2::{Digest, Sha256};
use time::{Duration, OffsetDateTime};
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use x509_cert::der::Decode;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;
use zeroize::Zeroizing;

use crate::files;

/// The validity of a certificate, in days.
const LIFE: i64 = 90;
/// A certificate is renewed when it has fewer days left than this.
const EARLY: i64 = 30;
/// The validity of the CA, in days: long, because machines know the CA by its hash and cannot be told another one.
const CA_LIFE: i64 = 25 * 365;
/// Certificates are valid from this time before now, because clocks differ.
const BEFORE: Duration = Duration::days(1);
/// The longest file, in bytes.
const MAX_PEM: u64 = 256 * 1024;

/// The files of a node's own TLS, in its directory.
#[derive(Debug, Clone)]
pub(crate) struct PrivateTls {
    ca_key: PathBuf,
    ca: PathBuf,
    key: PathBuf,
    chain: PathBuf,
}

/// A certificate as machines see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    /// Host names and IP addresses.
    pub(crate) names: Vec<String>,
    /// The last second of its life, in seconds since 1970.
    pub(crate) until: u64,
    /// The SHA-256 of the last certificate of the chain, in hexadecimal.
    pub(crate) ca_sha256: String,
    /// Whether that one is a root, by which machines can know the node.
    pub(crate) has_root: bool,
}

impl Seen {
    /// Whether it is time for the next certificate.
    pub(crate) fn is_due(&self, now: u64) -> bool {
        self.until < now.saturating_add(EARLY.unsigned_abs() * 24 * 3600)
    }
}

impl PrivateTls {
    pub(crate) fn new(dir: &Path) -> Self {
        let at = |name: &str| dir.join(name);
        Self {
            ca_key: at("tls-ca.key"),
            ca: at("tls-ca.pem"),
            key: at("tls.key"),
            chain: at("tls.pem"),
        }
    }

    /// The certificate, and the CA after it (PEM).
    pub(crate) fn chain(&self) -> &Path {
        &self.chain
    }

    /// The key of the certificate (PEM).
    pub(crate) fn key(&self) -> &Path {
        &self.key
    }

    /// Whether `certificate` is the one that this node renews itself.
    pub(crate) fn is_own(&self, certificate: &Path) -> bool {
        let same = fs::canonicalize(certificate)
            .and_then(|it| Ok(it == fs::canonicalize(&self.chain)?))
            .unwrap_or(false);
        same && self.ca_key.exists()
    }

    /// Makes the CA and the keys if they are missing, and a certificate for `names`. An existing CA is used, so that several nodes can have the same.
    pub(crate) fn make(&self, names: &[String], now: u64) -> anyhow::Result<Seen> {
        let names: Vec<String> = names.iter().map(|it| bare(it)).collect();
        ensure!(!names.is_empty(), "a certificate needs a name");
        let now = OffsetDateTime::from_unix_timestamp(i64::try_from(now)?)?;
        if !self.ca_key.exists() {
            let key = KeyPair::generate()?;
            write_key(&self.ca_key, &key)?;
            let ca = ca_params(now)?.self_signed(&key)?;
            files::replace(&self.ca, 0o644, ca.pem().as_bytes())?;
        }
        if !self.key.exists() {
            write_key(&self.key, &KeyPair::generate()?)?;
        }
        self.issue(&names, now)?;
        self.seen()
    }

    /// Makes a new certificate for the same names, or for `names`. Only the file with the certificate is replaced, in one step.
    pub(crate) fn renew(&self, names: Option<&[String]>, now: u64) -> anyhow::Result<Seen> {
        if !self.ca_key.exists() {
            bail!(
                "there is no {}: the certificate is renewed where it was made",
                self.ca_key.display()
            );
        }
        let names = match names {
            Some(names) => names.to_vec(),
            None => self.seen()?.names,
        };
        self.make(&names, now)
    }

    fn issue(&self, names: &[String], now: OffsetDateTime) -> anyhow::Result<()> {
        let issuer = Issuer::new(ca_params(now)?, read_key(&self.ca_key)?);
        let mut params = CertificateParams::new(names)
            .with_context(|| format!("{} is no name for TLS", names.join(", ")))?;
        params.distinguished_name = common_name("tpmssh-ca");
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        (params.not_before, params.not_after) = (now - BEFORE, now + Duration::days(LIFE));
        params.serial_number = Some(serial());
        let certificate = params.signed_by(&read_key(&self.key)?, &issuer)?;
        let chain = certificate.pem() + &files::read(&self.ca, MAX_PEM)?;
        files::replace(&self.chain, 0o644, chain.as_bytes())
    }

    /// The certificate that is in the file now.
    pub(crate) fn seen(&self) -> anyhow::Result<Seen> {
        seen(&self.chain)
    }
}

/// The certificate in a file, as machines see it.
///
/// # Errors
///
/// If the file has no certificate that can be read.
pub(crate) fn seen(chain: &Path) -> anyhow::Result<Seen> {
    let text = files::read(chain, MAX_PEM)?;
    let unusable = || format!("{} cannot be used for TLS", chain.display());
    let all: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(text.as_bytes())
        .collect::<Result<_, _>>()
        .with_context(unusable)?;
    let (Some(first), Some(last)) = (all.first(), all.last()) else {
        bail!("{}: there is no certificate", unusable());
    };
    let first = x509_cert::Certificate::from_der(first).with_context(unusable)?;
    let root = x509_cert::Certificate::from_der(last).with_context(unusable)?;
    let root = root.tbs_certificate;
    let certificate = &first.tbs_certificate;
    let names = certificate.get::<SubjectAltName>().with_context(unusable)?;
    let names = names.map_or(Vec::new(), |(_, it)| it.0);
    Ok(Seen {
        names: names.iter().filter_map(shown).collect(),
        until: certificate.validity.not_after.to_unix_duration().as_secs(),
        ca_sha256: base16ct::lower::encode_string(&Sha256::digest(last)),
        has_root: root.issuer == root.subject,
    })
}

fn shown(name: &GeneralName) -> Option<String> {
    match name {
        GeneralName::DnsName(name) => Some(name.to_string()),
        GeneralName::IpAddress(bytes) => {
            let bytes = bytes.as_bytes();
            let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
            let v6 = <[u8; 16]>::try_from(bytes).map(IpAddr::from);
            Some(v4.or(v6).ok()?.to_string())
        }
        _ => None,
    }
}

/// The name in the form of certificates: an IPv6 address without brackets.
fn bare(name: &str) -> String {
    let inner = name.strip_prefix('[').and_then(|it| it.strip_suffix(']'));
    inner.unwrap_or(name).to_owned()
}

/// The parameters of the CA. They have the same name each time, so that a new certificate names the existing CA as its issuer.
fn ca_params(now: OffsetDateTime) -> anyhow::Result<CertificateParams> {
    let mut params = CertificateParams::new(Vec::new())?;
    params.distinguished_name = common_name("tpmssh-ca TLS");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    (params.not_before, params.not_after) = (now - BEFORE, now + Duration::days(CA_LIFE));
    params.serial_number = Some(serial());
    Ok(params)
}

fn common_name(name: &str) -> DistinguishedName {
    let mut whole = DistinguishedName::new();
    whole.push(DnType::CommonName, name);
    whole
}

/// A random serial number: positive, with 16 bytes.
fn serial() -> SerialNumber {
    let mut bytes = [0; 16];
    OsRng.fill_bytes(&mut bytes);
    bytes[0] = bytes[0] & 0x3f | 0x40;
    SerialNumber::from_slice(&bytes)
}

fn write_key(path: &Path, key: &KeyPair) -> anyhow::Result<()> {
    let pem = Zeroizing::new(key.serialize_pem());
    files::write_new(path, 0o600, pem.as_bytes())
}

fn read_key(path: &Path) -> anyhow::Result<KeyPair> {
    let pem = files::read_private(path, MAX_PEM)?;
    KeyPair::from_pem(&pem).with_context(|| format!("{} is no key for TLS", path.display()))
}
