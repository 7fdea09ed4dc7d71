//! `tpmssh cert import-x509`: an X.509 certificate beside its key.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde::Serialize;
use ssh_format::text::shown;
use token_store::object::{Body, NewCertificate};
use token_store::{Class, Object, Store, Token};
use x509_cert::Certificate;
use x509_cert::der::Encode;

use crate::app::App;
use crate::fail::error::{CertificateError, Error, Result};
use crate::files::x509_file;
use crate::show::output::{Facts, tell};

/// Keep the X.509 certificate of a key beside that key
///
/// Browsers and TLS programs then find both. The key is found by its public key, and the certificate gets its id. Where FILE has more
/// than one certificate, such as the authority's, the first that fits a key is taken.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The certificate, PEM, DER or PKCS#7 (.p7b); - for stdin
    file: PathBuf,

    /// What to call it (the label of the key)
    #[arg(long)]
    label: Option<String>,
}

/// The most that is read, in bytes; a file with a whole chain has a tenth of it.
const MAX_LEN: usize = 256 * 1024;

pub(crate) fn run(app: &App, args: &Args) -> anyhow::Result<()> {
    let mut store = app.store()?;
    let from = match args.file.to_str() {
        Some("-") => "stdin".to_owned(),
        _ => args.file.display().to_string(),
    };
    let certificates = x509_file::certificates(&read(&args.file, &from)?);
    if certificates.is_empty() {
        return Err(CertificateError::NotX509 { from }.into());
    }
    let tokens = app.some_tokens(&store)?;
    let Some((certificate, token, key)) = pair(&store, &tokens, &certificates)? else {
        return Err(CertificateError::NoKeyFits { from }.into());
    };
    let label = args.label.clone().unwrap_or_else(|| key.label.clone());
    let new = new_certificate(certificate, label, key.cka_id)?;
    let same = |object: &Object| matches!(&object.body, Body::Certificate { value, .. } if *value == new.value);
    if store.objects(token.id)?.iter().any(same) {
        tell("tpmssh: this certificate is there already");
    } else {
        store.add_certificate(token.id, &new)?;
    }
    app.out.print(&Report {
        token: token.label.clone(),
        label: new.label,
        id: base16ct::lower::encode_string(&new.cka_id),
        key: key.label,
        subject: certificate.tbs_certificate.subject.to_string(),
        issuer: certificate.tbs_certificate.issuer.to_string(),
    })
}

fn read(path: &Path, from: &str) -> Result<Vec<u8>> {
    let unreadable = |source| Error::Unreadable {
        from: from.to_owned(),
        source,
    };
    let mut bytes = Vec::new();
    let count = if path == Path::new("-") {
        io::stdin().take(MAX_LEN as u64 + 1).read_to_end(&mut bytes)
    } else {
        let file = File::open(path).map_err(unreadable)?;
        file.take(MAX_LEN as u64 + 1).read_to_end(&mut bytes)
    };
    match count.map_err(unreadable)? {
        count if count > MAX_LEN => Err(Error::TooMuchRead {
            from: from.into(),
            max: MAX_LEN,
        }),
        _ => Ok(bytes),
    }
}

/// The first certificate that is for a key of `tokens`, and that key.
fn pair<'a>(
    store: &Store,
    tokens: &'a [Token],
    certificates: &'a [Certificate],
) -> anyhow::Result<Option<(&'a Certificate, &'a Token, Object)>> {
    for token in tokens {
        for object in store.objects(token.id)? {
            let Some(key) = object.key().filter(|_| object.class() == Class::PrivateKey) else {
                continue;
            };
            let spki = key.spki();
            let fits = |certificate: &&Certificate| {
                let public = &certificate.tbs_certificate.subject_public_key_info;
                public.to_der().is_ok_and(|der| der == spki)
            };
            if let Some(certificate) = certificates.iter().find(fits) {
                return Ok(Some((certificate, token, object)));
            }
        }
    }
    Ok(None)
}

/// The object, with the attributes that the certificate states.
fn new_certificate(
    certificate: &Certificate,
    label: String,
    cka_id: Vec<u8>,
) -> anyhow::Result<NewCertificate> {
    let signed = &certificate.tbs_certificate;
    Ok(NewCertificate {
        label,
        cka_id,
        private: false,
        value: certificate.to_der()?,
        subject: signed.subject.to_der()?,
        issuer: signed.issuer.to_der()?,
        serial_number: signed.serial_number.to_der()?,
        ..NewCertificate::default()
    })
}

#[derive(Debug, Serialize)]
struct Report {
    token: String,
    label: String,
    /// `CKA_ID`, hexadecimal.
    id: String,
    /// The label of the key.
    key: String,
    subject: String,
    issuer: String,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "certificate \"{}\"", shown(&self.label))?;
        let mut facts = Facts::default();
        facts.add("subject", &self.subject);
        facts.add("issuer", &self.issuer);
        facts.add("key", &self.key);
        facts.add("id", &self.id);
        facts.fmt(f)
    }
}
