//! The first contact with an authority whose TLS certificate is known only by its hash: the certificate is fetched without trust, and accepted by its hash.

use rustls::pki_types::{CertificateDer, pem::PemObject};
use sha2::{Digest, Sha256};
use ureq::tls::TlsConfig;
use x509_cert::der::pem::{LineEnding, encode_string};

use crate::server::{MAX_ANSWER_LEN, agent, tls_config};
use crate::{Error, Result, Url};

/// Gets the certificate with this SHA-256 from the authority at `url` (PEM), as the root for [`Server::new`](crate::Server::new).
///
/// The server is not authenticated for this one request, which contains no secret; only the hash of the certificate is checked. All later requests have to use
/// a connection that trusts this root.
///
/// # Errors
///
/// [`Error::OtherTls`] if there is no such certificate, also if the server is not an authority; [`Error::NoServer`] if nothing answers;
/// [`Error::BadUrl`] for an address without TLS.
pub fn pinned_root(url: &Url, sha256: &[u8; 32]) -> Result<Vec<u8>> {
    if !url.as_str().starts_with("https:") {
        return Err(Error::BadUrl {
            url: url.to_string(),
            why: "a certificate is known by its hash only with https",
        });
    }
    let tls = tls_config(TlsConfig::builder().disable_verification(true));
    let other = || Error::OtherTls {
        url: url.to_string(),
        sha256: base16ct::lower::encode_string(sha256),
    };
    let sent = agent(url, tls).get(format!("{url}v1/tls")).call();
    let answer = sent.map_err(|err| Error::no_server(url, err))?;
    if answer.status() != 200 {
        return Err(other());
    }
    let body = answer.into_body().into_with_config().limit(MAX_ANSWER_LEN);
    let body = body
        .read_to_vec()
        .map_err(|err| Error::no_server(url, err))?;
    let found = CertificateDer::pem_slice_iter(&body)
        .filter_map(std::result::Result::ok)
        .find(|it| Sha256::digest(it)[..] == sha256[..]);
    let pem = encode_string("CERTIFICATE", LineEnding::LF, &found.ok_or_else(other)?);
    pem.map(String::into_bytes).map_err(Error::bad)
}
