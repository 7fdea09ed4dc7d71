//! `tpmssh cert add`: keep a certificate.

use std::path::PathBuf;

use anyhow::Context;
use ssh_format::text::shown;
use ssh_format::{AnyKey, Certificate, CertificateState};
use token_store::object::MAX_LABEL_LEN;
use token_store::{ObjectId, Store};

use crate::app::App;
use crate::certificates::{self, Kept};
use crate::fail::error::CertificateError;
use crate::files::key_file;
use crate::keys::public_files;
use crate::show::date;
use crate::show::path;

/// Add an authority's certificate for a key of the TPM
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The file with the certificate, as ssh-keygen -s writes it; - is standard input
    file: PathBuf,

    /// Add it even if it is expired, not yet valid, or without principals
    #[arg(long, short)]
    force: bool,
}

pub(crate) fn run(app: &App, args: &Args) -> anyhow::Result<()> {
    let (certificate, comment) = key_file::read_certificate(&args.file)?;
    let file = || path::name(&args.file);
    certificate.verify().with_context(file)?;
    certificate.check_critical_options().with_context(file)?;
    if !args.force {
        check_time(&certificate)?;
        if certificate.principals().is_empty() {
            return Err(CertificateError::NoPrincipals.into());
        }
    }
    let mut store = app.store()?;
    let key = key_of(app, &store, certificate.key())?;
    let id = store.add_ssh_certificate(key, certificate.blob(), &shortened(&comment))?;
    public_files::update(&store);
    let kept = kept(app, &store, id.get())?;
    app.out.done(&format!(
        "{} is kept: \"{}\" ({})",
        kept.title(),
        shown(&kept.contents.key_id),
        kept.contents.state
    ))
}

/// Refuses a certificate that is not valid now.
fn check_time(certificate: &Certificate) -> Result<(), CertificateError> {
    match certificate.state(date::now()) {
        CertificateState::Valid => Ok(()),
        CertificateState::Expired => Err(CertificateError::CertificateExpired {
            since: date::in_words(certificate.valid_before()),
        }),
        CertificateState::NotYetValid => Err(CertificateError::CertificateNotYetValid {
            until: date::in_words(certificate.valid_after()),
        }),
    }
}

/// The private half of the key pair that a certificate is for.
fn key_of(app: &App, store: &Store, wanted: &AnyKey) -> anyhow::Result<ObjectId> {
    for token in app.some_tokens(store)? {
        for object in store.objects(token.id)? {
            let Some(key) = object.key() else { continue };
            if ssh_keys::public_key(key.public())?.blob() == wanted.blob() {
                return Ok(object.id);
            }
        }
    }
    let fingerprint = wanted.fingerprint().to_string();
    Err(CertificateError::NoKeyForCertificate { fingerprint }.into())
}

/// The certificate with this number, for the report.
fn kept(app: &App, store: &Store, number: i64) -> anyhow::Result<Kept> {
    let mut all = Vec::new();
    for token in app.some_tokens(store)? {
        all.extend(certificates::of_token(store, &token)?);
    }
    certificates::find(all, &number.to_string())
}

/// The part of a comment that is stored.
fn shortened(comment: &str) -> String {
    let mut end = comment.len().min(MAX_LABEL_LEN);
    while !comment.is_char_boundary(end) {
        end -= 1;
    }
    comment[..end].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_comment_is_cut_between_characters() {
        assert_eq!(shortened("anna"), "anna");
        let cut = shortened(&format!("x{}", "é".repeat(100)));
        assert_eq!(cut.len(), 127);
    }
}
