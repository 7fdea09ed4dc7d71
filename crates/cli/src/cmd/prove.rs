//! `tpmssh prove`: show somebody that a key was born in this TPM and cannot leave it.

use std::path::{Path, PathBuf};

use key_proof::{Challenge, Kind, PublicArea, Request};
use serde::Serialize;
use token_store::Store;
use tpm_core::ek::EkType;

use crate::app::App;
use crate::fail::error::ProofError;
use crate::keys::signing::{self, SigningKey};
use crate::options::{EkTypeArg, EndorsementAuthArgs, UserPinArgs};
use crate::proofs::identity::Source;
use crate::proofs::prover::{self, Prover, Purpose};
use crate::proofs::{self, join_token};

/// Prove that a key was born in this TPM and cannot leave it
///
/// This takes two steps. Without --challenge, tpmssh writes a request. Send it to the authority, which
/// answers it with a challenge (tpmssh ca challenge). With the challenge and the PIN, tpmssh writes the
/// proof. If the agent has the token open, the PIN is not asked for.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The key, by label, id or fingerprint (the only key, or that of the request)
    key: Option<String>,

    /// The request that the challenge is for
    #[arg(long, value_name = "FILE", requires = "challenge")]
    request: Option<PathBuf>,

    /// The challenge to answer
    #[arg(long, value_name = "FILE", requires = "request")]
    challenge: Option<PathBuf>,

    /// Where to write (standard output)
    #[arg(
        short,
        long,
        value_name = "FILE",
        default_value = "-",
        hide_default_value = true
    )]
    output: PathBuf,

    /// Who a certificate for the key is to name (whom its authority names); commas separate them
    #[arg(
        short = 'n',
        long,
        value_delimiter = ',',
        value_name = "NAMES",
        conflicts_with = "challenge"
    )]
    principals: Vec<String>,

    /// These are names of a host and not of users
    #[arg(long, requires = "principals")]
    host: bool,

    /// The audience of the proof: a word from the verifier, who refuses proofs for any other
    #[arg(
        long,
        value_name = "WORD",
        default_value = "",
        hide_default_value = true,
        conflicts_with = "challenge"
    )]
    audience: String,

    /// The file with a join token of an authority over the network (tpmssh-ca)
    #[arg(long, value_name = "FILE", conflicts_with = "challenge")]
    join_token: Option<PathBuf>,

    /// The endorsement key that identifies the TPM (the first with a certificate)
    #[arg(long, value_enum, value_name = "TYPE", conflicts_with = "challenge")]
    ek_type: Option<EkTypeArg>,

    #[command(flatten)]
    endorsement: EndorsementAuthArgs,

    #[command(flatten)]
    pin: UserPinArgs,
}

pub(crate) fn run(app: &App, args: &Args) -> anyhow::Result<()> {
    match (&args.request, &args.challenge) {
        (Some(request), Some(challenge)) => answer(app, args, request, challenge),
        _ => ask(app, args),
    }
}

/// Writes a request.
fn ask(app: &App, args: &Args) -> anyhow::Result<()> {
    let mut store = app.store()?;
    let key = signing::find(signing::all(app, &store)?, args.key.as_deref())?;
    let purpose = Purpose {
        kind: match (args.principals.is_empty(), args.host) {
            (true, _) => Kind::None,
            (false, true) => Kind::Host,
            (false, false) => Kind::User,
        },
        principals: &args.principals,
        audience: &args.audience,
        role: None,
    };
    let identity = match &args.join_token {
        Some(path) => Source::JoinToken(join_token::read(path)?),
        None => Source::None,
    };
    let ek_type = args.ek_type.map(EkType::from);
    let request = args
        .prover(app, &key)
        .request(&mut store, &purpose, ek_type, &identity)?;
    let name = PublicArea::parse(&request.ek)?.name().to_string();
    let has_certificate = request.ek_certificate.is_some();
    let certificate = if has_certificate {
        " and its maker's certificate"
    } else {
        ""
    };
    let said = format!(
        "this file names the TPM (endorsement key {name}){certificate}; it is a request, and not yet a proof"
    );
    let report = Asked {
        request: &args.output,
        fingerprint: key.public.fingerprint().to_string(),
        ek_name: name,
        certificate: has_certificate,
    };
    proofs::write(app, &args.output, &request.to_json(), &said, &report)
}

/// What was written, for `--json`.
#[derive(Debug, Serialize)]
struct Asked<'a> {
    request: &'a Path,
    fingerprint: String,
    ek_name: String,
    /// Whether the maker's certificate is in it.
    certificate: bool,
}

/// Answers a challenge: writes a proof.
fn answer(app: &App, args: &Args, request: &Path, challenge: &Path) -> anyhow::Result<()> {
    let request = proofs::read(request, Request::from_json)?;
    let challenge = proofs::read(challenge, Challenge::from_json)?;
    prover::check_challenge(&request, &challenge)?;
    let store = app.store()?;
    let key = key_of(app, &store, args, &request)?;
    let (proof, by) = args.prover(app, &key).answer(&store, request, challenge)?;
    let report = Answered {
        proof: &args.output,
        fingerprint: key.public.fingerprint().to_string(),
        by,
    };
    let said = "this is the proof; who made the challenge checks it with: tpmssh verify-proof FILE";
    proofs::write(app, &args.output, &proof.to_json(), said, &report)
}

impl Args {
    fn prover<'a>(&'a self, app: &'a App, key: &'a SigningKey) -> Prover<'a> {
        Prover {
            app,
            key,
            pin: &self.pin,
            endorsement: &self.endorsement,
            unattended: false,
        }
    }
}

/// What was written, for `--json`.
#[derive(Debug, Serialize)]
struct Answered<'a> {
    proof: &'a Path,
    fingerprint: String,
    /// How the token was opened: `agent`, or `pin` for a login of this command.
    by: &'static str,
}

/// The key that the request is for. If the user names a key, it has to be the same.
fn key_of(app: &App, store: &Store, args: &Args, request: &Request) -> anyhow::Result<SigningKey> {
    let mut all = signing::all(app, store)?;
    if args.key.is_some() {
        all = vec![signing::find(all, args.key.as_deref())?];
    }
    let wanted = |key: &SigningKey| key.key.blob().blob().public == request.key;
    let key = all.into_iter().find(wanted);
    key.ok_or_else(|| ProofError::RequestOfOtherKey.into())
}
