//! `tpmssh csr`: ask an authority for an X.509 certificate.

use std::fmt;
use std::net::IpAddr;

use anyhow::Context;
use serde::Serialize;
use sha2::{Digest, Sha256, Sha384, Sha512};
use token_store::OpenToken;
use tpm_core::{Hash, KeyType, Scheme, Signature};
use x509_cert::der::asn1::{BitString, Ia5String, UintRef};
use x509_cert::der::oid::db::rfc5912;
use x509_cert::der::{self, Decode, Encode, EncodePem, asn1::Any};
use x509_cert::ext::AsExtension;
use x509_cert::ext::pkix::{SubjectAltName, name::GeneralName};
use x509_cert::name::Name;
use x509_cert::request::{CertReq, CertReqInfo, ExtensionReq, Version};
use x509_cert::spki::{AlgorithmIdentifierOwned, ObjectIdentifier, SubjectPublicKeyInfoOwned};

use crate::app::App;
use crate::ask::token_pin::read_pin;
use crate::fail::error::Error;
use crate::keys;
use crate::options::UserPinArgs;

mod name;

/// Print a certificate request (PKCS#10) signed by a key
///
/// Give the request to an authority that makes X.509 certificates for TLS or mail. Then add its certificate to the key with `tpmssh cert import-x509`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The label, id or fingerprint of the key
    key: String,

    /// The subject of the certificate: CN=alice,O=Example,C=DE, or as for openssl, /C=DE/O=Example/CN=alice
    #[arg(long, short, value_name = "NAME", value_parser = name::parse)]
    subject: Name,

    /// A host name for the certificate; may be repeated
    #[arg(long, value_name = "HOST", value_parser = parse_host)]
    dns: Vec<Ia5String>,

    /// A mail address for the certificate; may be repeated
    #[arg(long, value_name = "ADDRESS", value_parser = parse_email)]
    email: Vec<Ia5String>,

    /// An IP address for the certificate; may be repeated
    #[arg(long, value_name = "ADDRESS")]
    ip: Vec<IpAddr>,

    #[command(flatten)]
    pin: UserPinArgs,
}

fn parse_host(text: &str) -> Result<Ia5String, String> {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._*".contains(&b);
    let host = (!text.is_empty() && text.bytes().all(plain)).then(|| Ia5String::new(text));
    match host {
        Some(Ok(host)) => Ok(host),
        _ => Err("it is a host name in ASCII letters, digits, hyphens and dots".into()),
    }
}

fn parse_email(text: &str) -> Result<Ia5String, String> {
    let graphic = text.bytes().all(|b| b.is_ascii_graphic());
    let parts = text.split_once('@');
    match parts.filter(|(user, host)| graphic && !user.is_empty() && !host.is_empty()) {
        Some(_) => Ia5String::new(text).map_err(|err| err.to_string()),
        None => Err("it is a mail address such as alice@example.org".into()),
    }
}

pub(crate) fn run(app: &App, args: &Args) -> anyhow::Result<()> {
    let store = app.store()?;
    let token = app.token(&store)?;
    let found = keys::find(keys::of_token(&store, &token)?, &args.key)?;
    let object = store.object(found.object)?;
    let key = object
        .key()
        .filter(|_| found.private)
        .ok_or(Error::NoPrivateHalf { label: found.label })?;
    let info = info(args, &key.spki()).context("cannot make the request")?;
    let (algorithm, scheme, digest) = digest(key.key_type(), &info.to_der()?);

    let pin = read_pin(app, &store, &token, &args.pin)?;
    let open = OpenToken::open(&store, &app.tpm()?, &token, pin.as_ref())?;
    let signature = open.sign(key, scheme, &digest)?;
    let request = request(info, algorithm, &signature).context("cannot make the request")?;
    app.out.print(&Report { request })
}

/// The part of the request that is signed.
///
/// # Source
///
/// RFC 2986, section 4.1; the alternative names are an extension that is asked for, RFC 2985,
/// section 5.4.2.
fn info(args: &Args, spki: &[u8]) -> der::Result<CertReqInfo> {
    let mut info = CertReqInfo {
        version: Version::V1,
        subject: args.subject.clone(),
        public_key: SubjectPublicKeyInfoOwned::from_der(spki)?,
        attributes: Default::default(),
    };
    let names: Vec<GeneralName> = (args.dns.iter().cloned().map(GeneralName::DnsName))
        .chain(args.email.iter().cloned().map(GeneralName::Rfc822Name))
        .chain(args.ip.iter().copied().map(GeneralName::from))
        .collect();
    if !names.is_empty() {
        let extension = SubjectAltName(names).to_extension(&info.subject, &[])?;
        info.attributes
            .insert(ExtensionReq(vec![extension]).try_into()?)?;
    }
    Ok(info)
}

/// Algorithm, scheme and digest for signing `data` with a key of this type.
///
/// # Source
///
/// The identifiers are those of RFC 8017, appendix A.2.4, and RFC 5758, section 3.2.
fn digest(key_type: KeyType, data: &[u8]) -> (ObjectIdentifier, Scheme, Vec<u8>) {
    match key_type {
        _ if key_type.is_rsa() => (
            rfc5912::SHA_256_WITH_RSA_ENCRYPTION,
            Scheme::RsaPkcs1(Hash::Sha256),
            Sha256::digest(data).to_vec(),
        ),
        KeyType::EccP521 => (
            rfc5912::ECDSA_WITH_SHA_512,
            Scheme::Ecdsa,
            Sha512::digest(data).to_vec(),
        ),
        KeyType::EccP384 => (
            rfc5912::ECDSA_WITH_SHA_384,
            Scheme::Ecdsa,
            Sha384::digest(data).to_vec(),
        ),
        _ => (
            rfc5912::ECDSA_WITH_SHA_256,
            Scheme::Ecdsa,
            Sha256::digest(data).to_vec(),
        ),
    }
}

/// The signed request, PEM.
fn request(
    info: CertReqInfo,
    algorithm: ObjectIdentifier,
    signature: &Signature,
) -> der::Result<String> {
    let (parameters, signature) = match signature {
        // RFC 8017, appendix A.2.4: the parameters are NULL.
        Signature::Rsa(bytes) => (Some(Any::null()), bytes.clone()),
        // RFC 3279, section 2.2.3: no parameters, and a SEQUENCE of r and s.
        Signature::Ecdsa { r, s } => (None, [UintRef::new(r)?, UintRef::new(s)?].to_der()?),
    };
    CertReq {
        info,
        algorithm: AlgorithmIdentifierOwned {
            oid: algorithm,
            parameters,
        },
        signature: BitString::from_bytes(&signature)?,
    }
    .to_pem(der::pem::LineEnding::LF)
}

#[derive(Debug, Serialize)]
struct Report {
    /// PEM.
    request: String,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_addresses_are_plain_ascii() {
        assert!(parse_host("*.example.org").is_ok());
        for wrong in ["", "ex ample.org", "bücher.de", "a,b", "a\nb"] {
            assert!(parse_host(wrong).is_err(), "{wrong}");
        }
        assert!(parse_email("alice+x@example.org").is_ok());
        for wrong in ["", "alice", "@example.org", "alice@", "a b@c", "ä@c"] {
            assert!(parse_email(wrong).is_err(), "{wrong}");
        }
    }
}
