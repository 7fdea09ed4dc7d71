//! An authority over HTTP/1.1.

use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use base64ct::{Base64, Encoding};
use key_proof::{Challenge, Proof, Renewal, Request};
use rustls::pki_types::{CertificateDer, pem::PemObject};
use serde::Deserialize;
use ureq::http::{Response, StatusCode, header};
use ureq::tls::{Certificate, RootCerts, TlsConfig, TlsConfigBuilder};
use ureq::{Agent, Body};

use crate::answer::{Answer, granted};
use crate::{Error, Granted, Result};

/// The longest list of revoked keys that is read, in bytes: about a million keys.
pub const MAX_KRL_LEN: u64 = 64 * 1024 * 1024;
/// The longest other answer, in bytes.
pub(crate) const MAX_ANSWER_LEN: u64 = 256 * 1024;
/// The longest time for a whole request, also for the list of revoked keys.
const PATIENCE: Duration = Duration::from_secs(60);
/// The longest time to connect.
const CONNECT: Duration = Duration::from_secs(10);
/// The longest `Retry-After` that is followed, in seconds.
const MAX_RETRY_AFTER: u64 = 60 * 60;

/// The address of an authority: `https://HOST[:PORT]/`, or `http://` only for an authority on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Url(String);

impl Url {
    /// Reads an address.
    ///
    /// # Errors
    ///
    /// [`Error::BadUrl`], also for plain HTTP to another machine, because others on the network could read the join token.
    pub fn parse(text: &str) -> Result<Self> {
        let bad = |why| Error::BadUrl {
            url: text.chars().take(256).collect(),
            why,
        };
        let uri: ureq::http::Uri = text
            .parse()
            .map_err(|_| bad("it looks like https://ca.example.com/"))?;
        let host = uri.host().unwrap_or_default();
        if host.is_empty() || uri.query().is_some() || text.contains(['@', '#']) {
            return Err(bad("it looks like https://ca.example.com/"));
        }
        let is_here = matches!(host, "localhost" | "127.0.0.1" | "[::1]");
        match uri.scheme_str() {
            Some("https") => {}
            Some("http") if is_here => {}
            Some("http") => return Err(bad("without TLS only 127.0.0.1 is asked; use https")),
            _ => return Err(bad("it looks like https://ca.example.com/")),
        }
        let parts = text.trim_end_matches('/').split_once("://");
        let (scheme, rest) = parts.unwrap_or_default();
        Ok(Self(format!("{}://{rest}/", scheme.to_ascii_lowercase())))
    }

    /// The address, with a `/` at its end.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for Url {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// An authority.
#[derive(Debug)]
pub struct Server {
    url: Url,
    agent: Agent,
}

/// A list of revoked keys, and the signature of the authority.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedKrl {
    /// The list, as OpenSSH writes it. Nothing of it is checked yet.
    pub bytes: Vec<u8>,
    /// The signature, an SSHSIG file.
    pub signature: String,
}

/// The list of an authority's keys, and signatures by its host keys.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct SignedKeys {
    /// The list: lines with a word and a value. Nothing of it is checked yet.
    pub list: String,
    /// Signatures by the authority's host keys (SSHSIG files), one for each host key that could sign.
    pub signatures: Vec<String>,
}

impl Server {
    /// The authority at `url`. TLS trusts only the certificates in `roots` (PEM), or those of the system if `roots` is `None`.
    ///
    /// For `https`, a proxy is used if the environment names one (`HTTPS_PROXY`, `ALL_PROXY`). Redirections are not followed.
    ///
    /// # Errors
    ///
    /// [`Error::TlsRoots`] if there are no certificates to trust, or they cannot be read.
    pub fn new(url: Url, roots: Option<&[u8]>) -> Result<Self> {
        let roots = root_certificates(&url, roots)?;
        let tls = tls_config(TlsConfig::builder().root_certs(roots));
        let agent = agent(&url, tls);
        Ok(Self { url, agent })
    }

    /// The address of the authority.
    #[must_use]
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// Sends a request, and gets the challenge.
    ///
    /// # Errors
    ///
    /// [`Error`]; [`Error::NotTaken`] if the challenge is for another request.
    pub fn begin(&self, request: &Request) -> Result<Challenge> {
        let answer = self.post("v1/enroll/begin", &request.to_json())?;
        let challenge = Challenge::from_json(&answer.body).map_err(Error::bad)?;
        if challenge.request != request.transcript() {
            return Err(Error::NotTaken("its challenge is for another request"));
        }
        Ok(challenge)
    }

    /// Sends a proof, and gets the certificate.
    ///
    /// # Errors
    ///
    /// [`Error`]; [`Error::Pending`] if an administrator has to approve it.
    pub fn finish(&self, proof: &Proof) -> Result<Granted> {
        granted(&self.post("v1/enroll/finish", &proof.to_json())?)
    }

    /// Gets a nonce for a renewal.
    ///
    /// # Errors
    ///
    /// [`Error`].
    pub fn nonce(&self) -> Result<[u8; 32]> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct File {
            nonce: String,
        }
        let answer = self.get("v1/nonce", None, MAX_ANSWER_LEN)?;
        let file: File = serde_json::from_slice(&answer.body).map_err(Error::bad)?;
        let bytes = Base64::decode_vec(&file.nonce).map_err(Error::bad)?;
        bytes
            .try_into()
            .map_err(|_| Error::BadAnswer("a nonce has 32 bytes".into()))
    }

    /// Sends a renewal, and gets the certificate.
    ///
    /// # Errors
    ///
    /// [`Error`]; [`Error::Gone`] if the key has to enrol again.
    pub fn renew(&self, renewal: &Renewal) -> Result<Granted> {
        granted(&self.post("v1/renew", &renewal.to_json())?)
    }

    /// Gets the list of the authority's keys; `None` if it still has the number `known`.
    ///
    /// # Errors
    ///
    /// [`Error`].
    pub fn keys(&self, known: Option<u64>) -> Result<Option<SignedKeys>> {
        let answer = self.get_newer("v1/ca-keys", known, MAX_ANSWER_LEN)?;
        let read = |it: Answer| serde_json::from_slice(&it.body).map_err(Error::bad);
        answer.map(read).transpose()
    }

    /// Gets the list of revoked keys; `None` if it still has the number `known`.
    ///
    /// # Errors
    ///
    /// [`Error`].
    pub fn krl(&self, known: Option<u64>) -> Result<Option<SignedKrl>> {
        let Some(answer) = self.get_newer("v1/krl", known, MAX_KRL_LEN)? else {
            return Ok(None);
        };
        let signature = answer
            .signature
            .ok_or_else(|| Error::BadAnswer("the list of revoked keys is not signed".into()))?;
        let signature = Base64::decode_vec(&signature).map_err(Error::bad)?;
        Ok(Some(SignedKrl {
            bytes: answer.body,
            signature: String::from_utf8(signature).map_err(Error::bad)?,
        }))
    }

    fn post(&self, path: &str, body: &str) -> Result<Answer> {
        let sent = self
            .agent
            .post(format!("{}{path}", self.url))
            .header(header::CONTENT_TYPE, "application/json")
            .send(body);
        self.read(sent, MAX_ANSWER_LEN)
    }

    /// Gets a list; `None` if it still has the number `known`.
    fn get_newer(&self, path: &str, known: Option<u64>, limit: u64) -> Result<Option<Answer>> {
        let tag = known.map(|number| format!("\"{number}\""));
        let answer = self.get(path, tag.as_deref(), limit)?;
        match (answer.status, known) {
            (StatusCode::NOT_MODIFIED, Some(_)) => Ok(None),
            (StatusCode::NOT_MODIFIED, None) => Err(Error::BadAnswer(
                "nothing is new, it says, and no list was named".into(),
            )),
            _ => Ok(Some(answer)),
        }
    }

    fn get(&self, path: &str, known: Option<&str>, limit: u64) -> Result<Answer> {
        let mut request = self.agent.get(format!("{}{path}", self.url));
        if let Some(known) = known {
            request = request.header(header::IF_NONE_MATCH, known);
        }
        self.read(request.call(), limit)
    }

    fn read(
        &self,
        sent: std::result::Result<Response<Body>, ureq::Error>,
        limit: u64,
    ) -> Result<Answer> {
        let silent = |source: Box<dyn std::error::Error + Send + Sync>| Error::NoServer {
            url: self.url.to_string(),
            source,
        };
        let sent = sent.map_err(|err| Error::no_server(&self.url, err))?;
        let (head, body) = sent.into_parts();
        let text = |name: &str| Some(head.headers.get(name)?.to_str().ok()?.to_owned());
        let mut bytes = Vec::new();
        let mut reader = body.into_reader().take(limit + 1);
        reader
            .read_to_end(&mut bytes)
            .map_err(|err| silent(err.into()))?;
        if bytes.len() as u64 > limit {
            return Err(Error::BadAnswer(format!("it is longer than {limit} bytes")));
        }
        let retry = text("retry-after").and_then(|it| it.parse().ok());
        Answer {
            status: head.status,
            signature: text("tpmssh-signature"),
            retry_after: retry.map(|it: u64| Duration::from_secs(it.min(MAX_RETRY_AFTER))),
            body: bytes,
        }
        .accepted()
    }
}

/// Completes a TLS configuration with the cryptography that this project uses (ring).
pub(crate) fn tls_config(config: TlsConfigBuilder) -> TlsConfig {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    config.unversioned_rustls_crypto_provider(provider).build()
}

/// The HTTP client for the authority at `url`.
pub(crate) fn agent(url: &Url, tls: TlsConfig) -> Agent {
    let config = Agent::config_builder()
        .tls_config(tls)
        .timeout_global(Some(PATIENCE))
        .timeout_connect(Some(CONNECT))
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .user_agent(concat!("tpmssh/", env!("CARGO_PKG_VERSION")));
    // Without TLS, a proxy on another machine would see the join token. Such requests go directly to this machine.
    let config = match url.as_str().starts_with("http:") {
        true => config.proxy(None),
        false => config,
    };
    config.build().into()
}

/// The certificates that TLS trusts.
fn root_certificates(url: &Url, roots: Option<&[u8]>) -> Result<RootCerts> {
    let unusable = |why: String| Error::TlsRoots(why);
    let found: Vec<CertificateDer<'static>> = match roots {
        Some(pem) => CertificateDer::pem_slice_iter(pem)
            .collect::<std::result::Result<_, _>>()
            .map_err(|err| unusable(err.to_string()))?,
        // A connection without TLS needs no certificates.
        None if url.as_str().starts_with("http:") => Vec::new(),
        None => rustls_native_certs::load_native_certs().certs,
    };
    if found.is_empty() && url.as_str().starts_with("https:") {
        return Err(unusable("there are none".to_owned()));
    }
    let found: Vec<_> = found
        .iter()
        .map(|der| Certificate::from_der(der).to_owned())
        .collect();
    Ok(RootCerts::Specific(Arc::new(found)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_one_of_https_or_of_this_machine() {
        for good in [
            "https://ca.example.com",
            "https://ca:8443/",
            "http://127.0.0.1:8700",
        ] {
            let url = Url::parse(good).unwrap();
            assert_eq!(url.as_str(), format!("{}/", good.trim_end_matches('/')));
        }
        let url = Url::parse("HTTP://127.0.0.1:1").unwrap();
        assert_eq!(url.as_str(), "http://127.0.0.1:1/");
        for bad in [
            "",
            "https://ca/#x",
            "ca.example.com",
            "ftp://ca/",
            "http://ca.example.com/",
            "http://127.0.0.1.example.com/",
            "https://anna:secret@ca/",
            "https://ca/?token=1",
            "https:///",
        ] {
            assert!(
                matches!(Url::parse(bad), Err(Error::BadUrl { .. })),
                "{bad}"
            );
        }
    }
}
