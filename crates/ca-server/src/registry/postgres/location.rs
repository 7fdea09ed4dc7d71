//! The address of the database, and how node and database authenticate each other.

use std::fs;
use std::net::IpAddr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use ssh_format::text::error_line;
use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode, TargetSessionAttrs};
use tokio_postgres_rustls::MakeRustlsConnect;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// The longest file of passwords that is read, in bytes.
const MAX_PASSFILE: u64 = 1024 * 1024;

/// The address of a database: a URL as `psql` takes it.
///
/// Over a network the server has to show a certificate for its name by one of the authorities in `sslrootcert`, also without `sslmode`. A
/// password is in the file `passfile` or `$PGPASSFILE`, in the format of PostgreSQL. It must not be in the URL, which other users of the machine
/// may be able to read.
#[derive(Clone)]
pub struct Location {
    pub(super) config: Config,
    pub(super) tls: Option<MakeRustlsConnect>,
}

impl std::fmt::Debug for Location {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Without the password.
        f.debug_struct("Location").finish_non_exhaustive()
    }
}

impl Location {
    /// Reads a URL, and the files that it names.
    ///
    /// # Errors
    ///
    /// If the URL cannot be read, has a password, or names a host of the network without `sslrootcert`, or if a file cannot be used.
    pub fn parse(url: &str) -> anyhow::Result<Self> {
        let scheme = ["postgresql://", "postgres://"];
        let is_url = scheme.iter().any(|it| url.starts_with(it));
        ensure!(
            is_url,
            "a database is a URL: postgresql://USER@HOST/DATABASE"
        );
        let (url, own) = own_parameters(url)?;
        let config = url.parse::<Config>();
        let mut config = config
            .map_err(|err| anyhow::anyhow!("the URL of the database: {}", error_line(&err)))?;
        if config.get_password().is_some() {
            bail!(
                "the URL of the database has a password, which others can read: put it into a file (PGPASSFILE)"
            );
        }
        ensure!(
            config.get_user().is_some(),
            "the URL of the database names no user"
        );
        ensure!(
            config.get_dbname().is_some(),
            "the URL of the database names no database"
        );
        // The library would connect to hostaddr, while the decision about TLS is made by the name of the host.
        ensure!(
            config.get_hostaddrs().is_empty(),
            "hostaddr in the URL of the database is not taken: name the host"
        );
        let tls = own.tls(&mut config)?;
        if let Some(path) = &own.passfile {
            let password = password(path, &config)?;
            if let Some(password) = password {
                config.password(password);
            }
        }
        config.connect_timeout(Duration::from_secs(3));
        config.tcp_user_timeout(Duration::from_secs(10));
        config.keepalives_idle(Duration::from_secs(30));
        config.application_name("tpmssh-ca");
        if config.get_hosts().len() > 1 {
            // Of several hosts, the one that accepts writes, not a standby.
            config.target_session_attrs(TargetSessionAttrs::ReadWrite);
        }
        Ok(Self { config, tls })
    }
}

/// The parameters of the URL that are handled here, because the library does not know them.
#[derive(Default)]
struct Own {
    roots: Option<PathBuf>,
    passfile: Option<PathBuf>,
    mode: Option<String>,
}

fn own_parameters(url: &str) -> anyhow::Result<(String, Own)> {
    let mut own = Own {
        passfile: std::env::var_os("PGPASSFILE").map(PathBuf::from),
        ..Own::default()
    };
    let Some((base, query)) = url.split_once('?') else {
        return Ok((url.to_owned(), own));
    };
    let mut rest = Vec::new();
    for pair in query.split('&') {
        match pair.split_once('=') {
            Some(("sslrootcert", path)) => own.roots = Some(decoded(path)?.into()),
            Some(("passfile", path)) => own.passfile = Some(decoded(path)?.into()),
            Some(("sslmode", mode)) => own.mode = Some(decoded(mode)?),
            _ => rest.push(pair),
        }
    }
    let url = if rest.is_empty() {
        base.to_owned()
    } else {
        format!("{base}?{}", rest.join("&"))
    };
    Ok((url, own))
}

/// Decodes percent-encoding: `%2F` stands for `/`.
fn decoded(text: &str) -> anyhow::Result<String> {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(if byte == b'%' {
            let digit = |it: Option<u8>| char::from(it?).to_digit(16);
            let (high, low) = (digit(rest.next()), digit(rest.next()));
            let value = high.zip(low).map(|(high, low)| high * 16 + low);
            value
                .and_then(|it| u8::try_from(it).ok())
                .with_context(|| {
                    format!("{text:?} in the URL of the database is not percent-encoded")
                })?
        } else {
            byte
        });
    }
    String::from_utf8(bytes)
        .with_context(|| format!("{text:?} in the URL of the database is not UTF-8"))
}

impl Own {
    fn tls(&self, config: &mut Config) -> anyhow::Result<Option<MakeRustlsConnect>> {
        let mode = self.mode.as_deref();
        let known = matches!(mode, None | Some("disable" | "verify-full"));
        ensure!(
            known,
            "sslmode in the URL of the database is verify-full or disable: nothing between them keeps others out"
        );
        let plain = |host: &Host| match host {
            Host::Unix(_) => true,
            Host::Tcp(name) => {
                mode == Some("disable")
                    && (name == "localhost"
                        || name.parse().is_ok_and(|it: IpAddr| it.is_loopback()))
            }
        };
        ensure!(
            !config.get_hosts().is_empty(),
            "the URL of the database names no host"
        );
        if config.get_hosts().iter().all(plain) {
            config.ssl_mode(SslMode::Disable);
            return Ok(None);
        }
        let Some(path) = &self.roots else {
            bail!(
                "the database is on another machine: sslrootcert=FILE in its URL names the certificate that it is known by"
            );
        };
        let unusable = || {
            format!(
                "{} has no certificate to know the database by",
                path.display()
            )
        };
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_file_iter(path).with_context(unusable)? {
            roots
                .add(certificate.with_context(unusable)?)
                .with_context(unusable)?;
        }
        ensure!(!roots.is_empty(), unusable());
        let tls = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        // `Require` here also checks the certificate, because the TLS configuration does. The other modes of the library fall back to no TLS.
        config.ssl_mode(SslMode::Require);
        Ok(Some(MakeRustlsConnect::new(tls)))
    }
}

/// The password for this database in a password file of PostgreSQL; `None` if no line fits.
///
/// # Source
///
/// PostgreSQL, "The Password File": `host:port:database:user:password`. `*` fits everything; a backslash escapes a colon or a backslash.
fn password(path: &Path, config: &Config) -> anyhow::Result<Option<String>> {
    let shown = path.display();
    let meta =
        fs::metadata(path).with_context(|| format!("cannot read the password file {shown}"))?;
    ensure!(
        meta.is_file() && meta.len() <= MAX_PASSFILE,
        "{shown} is no password file"
    );
    ensure!(
        meta.mode() & 0o077 == 0,
        "others can read the password file {shown}: chmod 600"
    );
    let text = fs::read_to_string(path)
        .with_context(|| format!("cannot read the password file {shown}"))?;
    let host = match config.get_hosts().first() {
        Some(Host::Tcp(name)) => name.clone(),
        _ => "localhost".to_owned(),
    };
    let port = config
        .get_ports()
        .first()
        .copied()
        .unwrap_or(5432)
        .to_string();
    let wanted = [
        host.as_str(),
        &port,
        config.get_dbname().unwrap_or_default(),
        config.get_user().unwrap_or_default(),
    ];
    Ok(text.lines().find_map(|line| {
        let fields = fields(line)?;
        let (password, place) = fields.split_last()?;
        let fits = place
            .iter()
            .zip(wanted)
            .all(|(has, wants)| has == "*" || has == wants);
        (place.len() == wanted.len() && fits).then(|| password.clone())
    }))
}

fn fields(line: &str) -> Option<Vec<String>> {
    if line.starts_with('#') {
        return None;
    }
    let mut fields = vec![String::new()];
    let mut rest = line.chars();
    while let Some(char) = rest.next() {
        match char {
            '\\' => fields.last_mut()?.extend(rest.next()),
            ':' if fields.len() < 5 => fields.push(String::new()),
            other => fields.last_mut()?.push(other),
        }
    }
    Some(fields)
}
