//! `tpmssh ca renew`: the same certificate for another time.

use std::path::PathBuf;

use ssh_format::text::shown;
use ssh_format::{Certificate, CertificateRequest};
use token_store::{OpenToken, Store};

use super::revoke::describe;
use super::sign;
use crate::app::App;
use crate::ask::token_pin::read_pin;
use crate::certificates::validity::{self, Validity};
use crate::certificates::{authorities, revocations};
use crate::fail::error::{AuthorityError, Error, ProofError};
use crate::files::key_file;
use crate::keys::signing::SigningKey;
use crate::options::{AuthorityArgs, UserPinArgs};
use crate::show::date;
use crate::show::output::tell;

/// Sign a certificate again, with the same key and terms
///
/// Key id, principals, limits and permissions are those of the old certificate; the serial number
/// and the time are new. The old one stays valid until it ends. It has to be one that this
/// authority signed and did not revoke.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The file with the certificate; - is standard input
    #[arg(
        value_name = "FILE",
        required_unless_present = "serial",
        conflicts_with = "serial"
    )]
    certificate: Option<PathBuf>,

    /// The certificate with this serial number, which tpmssh ca list shows
    #[arg(long)]
    serial: Option<u64>,

    /// How long it is valid, as for ca sign-user (from now, as long as the old one)
    #[arg(short = 'V', long, value_parser = validity::parse, allow_hyphen_values = true, value_name = "SPAN")]
    validity: Option<Validity>,

    #[command(flatten)]
    authority: AuthorityArgs,

    #[command(flatten)]
    pin: UserPinArgs,
}

pub(crate) fn run(app: &App, args: &Args) -> anyhow::Result<()> {
    let from_file = args.certificate.as_deref();
    let from_file = from_file.map(key_file::read_certificate).transpose()?;
    let mut store = app.store()?;
    let authority = authorities::find(app, &store, args.authority.ca.as_deref())?;
    let (old, comment) = match (from_file, args.serial) {
        (Some((certificate, comment)), _) => {
            let is_same = |it: &Certificate| it.blob() == certificate.blob();
            (issued(&store, &authority, is_same)?, comment)
        }
        (None, serial) => {
            let is_same = |it: &Certificate| Some(it.serial()) == serial;
            let old = issued(&store, &authority, is_same)?;
            let comment = old.key_id().to_owned();
            (old, comment)
        }
    };
    if revocations::list(&store, &authority)?.revokes_certificate(&old) {
        let serial = old.serial();
        return Err(AuthorityError::RenewsRevoked { serial }.into());
    }
    // Whether a proof was given for the old one is not recorded.
    if store.requires_proof(authority.object)? {
        let label = shown(&authority.label);
        return Err(ProofError::ProofRequired { label }.into());
    }
    let validity = match args.validity {
        Some(validity) => validity,
        None => same_length(&old)?,
    };
    let mut request = CertificateRequest {
        key: old.key().clone(),
        serial: 0,
        kind: old.kind(),
        key_id: old.key_id().to_owned(),
        principals: old.principals().to_vec(),
        valid_after: validity.after,
        valid_before: validity.before,
        critical_options: old.critical_options().to_vec(),
        extensions: old.extensions().to_vec(),
    };
    request.unsigned(&[0; 32], &authority.public)?;
    let pin = read_pin(app, &store, &authority.token, &args.pin)?;
    let open = OpenToken::open(&store, &app.tpm()?, &authority.token, pin.as_ref())?;
    let certificate = sign::issue(&mut store, &authority, &open, &mut request, None)?;
    sign::print(app, &certificate, &comment)?;
    if !app.out.is_json() {
        tell(&format!("tpmssh: in the place of {}", describe(&old)));
    }
    Ok(())
}

/// The certificate that the authority signed and that `is_meant` picks.
fn issued(
    store: &Store,
    authority: &SigningKey,
    is_meant: impl Fn(&Certificate) -> bool,
) -> anyhow::Result<Certificate> {
    let issued = store.issued(authority.object)?;
    let mut certificates = issued
        .iter()
        .filter_map(|it| Certificate::from_blob(&it.certificate).ok());
    let found = certificates.find(is_meant);
    found.ok_or_else(|| AuthorityError::NotIssued.into())
}

/// From now on, as long as `old` was valid.
fn same_length(old: &Certificate) -> Result<Validity, Error> {
    if old.valid_after() == 0 {
        let why = "the certificate has no beginning: say with -V how long the new one is valid";
        return Err(Error::Usage(why.into()));
    }
    let length = old.valid_before().saturating_sub(old.valid_after());
    Ok(Validity::from_now(length, date::now()))
}
