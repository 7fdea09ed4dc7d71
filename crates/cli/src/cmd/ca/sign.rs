//! `tpmssh ca sign-user` and `sign-host`: certify a key.

use std::fmt;
use std::path::PathBuf;

use anyhow::Context;
use key_proof::{Kind, Verified};
use serde::Serialize;
use ssh_format::text::shown;
use ssh_format::{Certificate, CertificateKind, CertificateRequest};
use token_store::{Error as StoreError, OpenToken, Store};

use crate::app::App;
use crate::ask::token_pin::read_pin;
use crate::certificates::authorities;
use crate::certificates::options::CertOptions;
use crate::certificates::validity::{self, Validity};
use crate::certificates::{Contents, State};
use crate::fail::error::{Error, ProofError};
use crate::files::key_file;
use crate::keys::signing::SigningKey;
use crate::options::AuthorityArgs;
use crate::options::UserPinArgs;
use crate::proofs::{self, trust::TrustArgs};
use crate::show::date;

/// Certify a user's key
///
/// The certificate is printed, and kept in the authority's record. Without -O it allows all that a
/// login allows.
#[derive(Debug, clap::Args)]
pub(crate) struct UserArgs {
    /// A limit or permission, as for ssh-keygen -O; may be given several times
    ///
    /// clear, force-command=COMMAND, source-address=LIST, verify-required, no-touch-required,
    /// permit-X and no-X where X is X11-forwarding, agent-forwarding, port-forwarding, pty or
    /// user-rc, critical:NAME[=VALUE], extension:NAME[=VALUE].
    #[arg(short = 'O', long = "option", value_name = "OPTION")]
    options: Vec<String>,

    #[command(flatten)]
    common: SignArgs,
}

/// Certify a host's key
///
/// The certificate is printed, and kept in the authority's record.
#[derive(Debug, clap::Args)]
pub(crate) struct HostArgs {
    /// critical:NAME[=VALUE] or extension:NAME[=VALUE]; may be given several times
    #[arg(short = 'O', long = "option", value_name = "OPTION")]
    options: Vec<String>,

    #[command(flatten)]
    common: SignArgs,
}

#[derive(Debug, clap::Args)]
struct SignArgs {
    /// The file with the public key to certify; - is standard input
    key: PathBuf,

    /// What servers log when the certificate is used
    #[arg(short = 'I', long, value_name = "ID")]
    identity: String,

    /// Comma-separated principals: user names (sign-user) or host names (sign-host)
    #[arg(
        short = 'n',
        long,
        required = true,
        value_delimiter = ',',
        value_name = "NAMES"
    )]
    principals: Vec<String>,

    /// How long it is valid: `[FROM:]TO`, each like +8h, +30d, -5m or 20270101120000 (UTC)
    #[arg(short = 'V', long, value_parser = validity::parse, allow_hyphen_values = true, value_name = "SPAN")]
    validity: Validity,

    /// A proof that a TPM holds the key (tpmssh prove), which has to answer a challenge of this machine; it counts once
    #[arg(long, value_name = "FILE")]
    proof: Option<PathBuf>,

    #[command(flatten)]
    authority: AuthorityArgs,

    #[command(flatten)]
    pin: UserPinArgs,

    // Last, as its heading is for all options that follow.
    #[command(flatten)]
    trust: TrustArgs,
}

pub(crate) fn user(app: &App, args: &UserArgs) -> anyhow::Result<()> {
    let options = CertOptions::for_user(&args.options).map_err(Error::Usage)?;
    run(app, &args.common, CertificateKind::User, options)
}

pub(crate) fn host(app: &App, args: &HostArgs) -> anyhow::Result<()> {
    let options = CertOptions::for_host(&args.options).map_err(Error::Usage)?;
    run(app, &args.common, CertificateKind::Host, options)
}

fn run(
    app: &App,
    args: &SignArgs,
    kind: CertificateKind,
    options: CertOptions,
) -> anyhow::Result<()> {
    let (key, comment) = key_file::read_key(&args.key)?;
    let mut request = CertificateRequest {
        key,
        serial: 0,
        kind,
        key_id: args.identity.clone(),
        principals: args.principals.clone(),
        valid_after: args.validity.after,
        valid_before: args.validity.before,
        critical_options: options.critical,
        extensions: options.extensions,
    };
    let mut store = app.store()?;
    let authority = authorities::find(app, &store, args.authority.ca.as_deref())?;
    // Refuses an invalid request before a PIN is asked for.
    request.unsigned(&[0; 32], &authority.public)?;
    let proof = check_proof(&store, &authority, args, kind, &request)?;
    let pin = read_pin(app, &store, &authority.token, &args.pin)?;
    let open = OpenToken::open(&store, &app.tpm()?, &authority.token, pin.as_ref())?;
    let certificate = issue(&mut store, &authority, &open, &mut request, proof)?;
    print(app, &certificate, &comment)
}

/// Prints a certificate that was issued.
///
/// # Errors
///
/// [`Error::DoneUnseen`] if stdout cannot be written.
pub(super) fn print(app: &App, certificate: &Certificate, comment: &str) -> anyhow::Result<()> {
    let now = date::now();
    let report = Report {
        certificate: certificate.line(comment),
        contents: Contents::of(certificate, State::at(certificate, now, now)),
    };
    let done = format!(
        "certificate {} is signed and recorded",
        certificate.serial()
    );
    let hint = "sign again; tpmssh ca list shows this one, and tpmssh ca revoke revokes it";
    app.out.print_done(&report, &done, hint)
}

/// Checks the proof that is given, and that one is given if the authority asks for it.
fn check_proof(
    store: &Store,
    authority: &SigningKey,
    args: &SignArgs,
    kind: CertificateKind,
    request: &CertificateRequest,
) -> anyhow::Result<Option<Verified>> {
    let Some(path) = &args.proof else {
        return match store.requires_proof(authority.object)? {
            true => Err(ProofError::ProofRequired {
                label: shown(&authority.label),
            }
            .into()),
            false => Ok(None),
        };
    };
    let verified = proofs::check(path, &args.trust, |policy| {
        policy.kind = Some(match kind {
            CertificateKind::User => Kind::User,
            CertificateKind::Host => Kind::Host,
        });
        policy.principals = Some(args.principals.clone());
    })?;
    if verified.key.blob() != request.key.blob() {
        return Err(ProofError::ProofOfOtherKey.into());
    }
    // A request for some names is not answered with a certificate for others.
    let asked = &verified.principals;
    if !asked.is_empty() && !args.principals.iter().all(|name| asked.contains(name)) {
        return Err(ProofError::ProofOfOtherNames.into());
    }
    Ok(Some(verified))
}

/// Signs and records, with a serial number that the authority has not used. A proof is used up only
/// when the chip has signed: if it does not, the proof can be used again.
///
/// # Errors
///
/// Failures of TPM and store; [`ProofError::ProofUsed`].
pub(super) fn issue(
    store: &mut Store,
    authority: &SigningKey,
    open: &OpenToken,
    request: &mut CertificateRequest,
    mut proof: Option<Verified>,
) -> anyhow::Result<Certificate> {
    loop {
        request.serial = random_serial()?;
        let mut nonce = [0; 32];
        fill(&mut nonce)?;
        let unsigned = request.unsigned(&nonce, &authority.public)?;
        let signature = ssh_keys::sign(open, &authority.key, unsigned.bytes())
            .context("cannot sign the certificate")?;
        let certificate = unsigned.signed(&signature)?;
        if let Some(proof) = proof.take()
            && !store.use_proof(&proof.nonce, proof.expires, date::now())?
        {
            return Err(ProofError::ProofUsed.into());
        }
        match store.add_issued(authority.object, request.serial, certificate.blob()) {
            Err(StoreError::Conflict) => {}
            result => return result.map(|()| certificate).map_err(Into::into),
        }
    }
}

/// A random number other than 0, which means "not numbered".
fn random_serial() -> anyhow::Result<u64> {
    loop {
        let mut bytes = [0; 8];
        fill(&mut bytes)?;
        match u64::from_be_bytes(bytes) {
            0 => {}
            serial => return Ok(serial),
        }
    }
}

fn fill(bytes: &mut [u8]) -> anyhow::Result<()> {
    rustix::rand::getrandom(bytes, rustix::rand::GetRandomFlags::empty())
        .context("the system gives no random numbers")?;
    Ok(())
}

#[derive(Debug, Serialize)]
struct Report {
    certificate: String,
    #[serde(flatten)]
    contents: Contents,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.certificate)
    }
}
