//! TLS, if the policy names a certificate: versions 1.2 and 1.3.

use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};

use anyhow::Context;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use x509_cert::der::pem::{LineEnding, encode_string};

use crate::policy::Listen;

/// The TLS certificate and key in use. After a renewal, new connections use the new certificate.
#[derive(Clone)]
pub struct Tls(Arc<RwLock<Option<InUse>>>);

#[derive(Clone)]
struct InUse {
    acceptor: TlsAcceptor,
    /// The certificates in the file: that of the server, its intermediate certificates, and perhaps its root (PEM).
    chain: Arc<str>,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls").finish_non_exhaustive()
    }
}

impl Tls {
    /// Reads certificate and key, if the policy names them.
    ///
    /// # Errors
    ///
    /// If a file cannot be used for TLS.
    pub fn new(listen: &Listen) -> anyhow::Result<Self> {
        Ok(Self(Arc::new(RwLock::new(in_use(listen)?))))
    }

    /// Has new connections use the certificate and key that `other` has read.
    pub(crate) fn replace(&self, other: &Self) {
        let new = other.now();
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = new;
    }

    /// Accepts TLS connections; `None` without a certificate.
    pub(super) fn acceptor(&self) -> Option<TlsAcceptor> {
        Some(self.now()?.acceptor)
    }

    /// The certificates that clients see in the handshake (PEM); `None` without TLS.
    pub(super) fn chain(&self) -> Option<Arc<str>> {
        Some(self.now()?.chain)
    }

    fn now(&self) -> Option<InUse> {
        let now = self.0.read().unwrap_or_else(PoisonError::into_inner);
        now.clone()
    }
}

fn in_use(listen: &Listen) -> anyhow::Result<Option<InUse>> {
    let (Some(certificate), Some(key)) = (&listen.certificate, &listen.key) else {
        return Ok(None);
    };
    let unusable = |path: &Path| format!("{} cannot be used for TLS", path.display());
    let chain = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .with_context(|| unusable(certificate))?;
    let pem = |it: &CertificateDer<'_>| encode_string("CERTIFICATE", LineEnding::LF, it);
    let shown: String = chain.iter().map(pem).collect::<Result<_, _>>()?;
    let secret = PrivateKeyDer::from_pem_file(key).with_context(|| unusable(key))?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, secret)
        .with_context(|| unusable(certificate))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Some(InUse {
        acceptor: TlsAcceptor::from(Arc::new(config)),
        chain: shown.into(),
    }))
}
