//! `tpmssh prove`: show somebody that a key was born in this TPM and cannot leave it.

mod by_agent;

use std::path::{Path, PathBuf};

use key_proof::{
    Challenge, Identity, Kind, Origin, Proof, PublicArea, Request, WallClaim, activation,
};
use rand_core::{OsRng, RngCore};
use serde::Serialize;
use ssh_format::text::shown;
use ssh_keys::{Attested, Challenged};
use token_store::attestation::{self, Activation, Evidence};
use token_store::{Error as StoreError, Store};
use tpm_core::ek::EkType;
use tpm_core::ownership::Hierarchy;
use tpm_core::{AuthValue, Credential, EndorsementAuth, Entity, Wall, info};
use zeroize::Zeroizing;

use crate::app::App;
use crate::ask::hierarchy_auth;
use crate::ask::token_pin::read_pin_quickly;
use crate::fail::error::Error;
use crate::files::input_file;
use crate::keys::signing::{self, SigningKey};
use crate::options::{EkTypeArg, EndorsementAuthArgs, UserPinArgs};
use crate::proofs;
use crate::show::date;

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

    /// Whom the proof is for: a word that the verifier gave, who takes no other
    #[arg(
        long,
        value_name = "WORD",
        default_value = "",
        hide_default_value = true,
        conflicts_with = "challenge"
    )]
    audience: String,

    /// The join token of an authority that enrols machines by itself (tpmssh-ca), in a file
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
    let public = &key.key.blob().blob().public;
    refuse_unprovable(&key, public)?;
    let ek_type = args.ek_type.map(EkType::from);
    let tpm = app.tpm()?;
    let evidence = with_endorsement(app, args, |endorsement| {
        attestation::evidence(&mut store, &tpm, &key.token, ek_type, endorsement)
    })?;
    let mut client_random = [0; 32];
    OsRng.fill_bytes(&mut client_random);
    let has_certificate = evidence.ek_certificate.is_some();
    let request = Request {
        wall: wall(&evidence),
        ek: evidence.ek,
        ek_certificate: evidence.ek_certificate,
        chain: evidence.chain,
        attestation_key: evidence.attestation_key,
        srk: evidence.srk,
        parent: evidence.token_key,
        key: public.clone(),
        kind: match (args.principals.is_empty(), args.host) {
            (true, _) => Kind::None,
            (false, true) => Kind::Host,
            (false, false) => Kind::User,
        },
        principals: args.principals.clone(),
        audience: args.audience.clone(),
        identity: join_token(args)?,
        client_random,
    };
    let name = PublicArea::parse(&request.ek)?.name().to_string();
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

/// Who the prover is beside its TPM. The token goes into the request, which nobody else should see then.
fn join_token(args: &Args) -> anyhow::Result<Identity> {
    let Some(path) = &args.join_token else {
        return Ok(Identity::None);
    };
    let bytes = input_file::read(path, MAX_JOIN_TOKEN_LEN)?;
    let token = str::from_utf8(&bytes).map(str::trim).unwrap_or_default();
    if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Err(Error::NoJoinToken { path: path.clone() }.into());
    }
    Ok(Identity::Join(token.to_owned()))
}

/// Far more than a join token has, with the end of its line.
const MAX_JOIN_TOKEN_LEN: usize = 256;

/// What was written, for `--json`.
#[derive(Debug, Serialize)]
struct Asked<'a> {
    request: &'a Path,
    fingerprint: String,
    ek_name: String,
    /// Whether the maker's certificate is in it.
    certificate: bool,
}

/// Refuses a key that no proof would be accepted for, before anything is asked of the TPM.
fn refuse_unprovable(key: &SigningKey, public: &[u8]) -> anyhow::Result<()> {
    match PublicArea::parse(public)?.origin() {
        Origin::BornHere => Ok(()),
        Origin::Imported | Origin::CanLeave => Err(Error::Unprovable {
            label: shown(&key.label),
        }
        .into()),
    }
}

fn wall(evidence: &Evidence) -> WallClaim {
    match &evidence.wall {
        Wall::Counter(counter) => WallClaim::Counter {
            counter: counter.public_area(),
            so_name: counter.so().bytes().to_vec(),
            guard_name: counter.guard().bytes().to_vec(),
        },
        Wall::Lockout { so } => WallClaim::Lockout {
            so_name: so.bytes().to_vec(),
        },
        Wall::None => WallClaim::None,
    }
}

/// Does what may take the endorsement hierarchy's password. Nobody is asked for it before the TPM has refused an empty one, which
/// it does not count: keys of the high range that are there need none.
fn with_endorsement<T>(
    app: &App,
    args: &Args,
    mut what: impl FnMut(&EndorsementAuth) -> token_store::Result<T>,
) -> anyhow::Result<T> {
    let refused = match what(&AuthValue::empty().into()) {
        Ok(done) => return Ok(done),
        Err(StoreError::Tpm(
            err @ tpm_core::Error::AuthRejected {
                entity: Entity::Endorsement,
                ..
            },
        )) => err,
        Err(err) => return Err(err.into()),
    };
    let tpm = app.tpm()?;
    let info = tpm
        .begin()
        .and_then(|op| info::read(&op))
        .map_err(StoreError::from)?;
    if !info.auth_set.endorsement {
        return Err(StoreError::from(refused).into());
    }
    let password = hierarchy_auth::read_endorsement(&args.endorsement.source(), &info)?;
    match what(&password) {
        Err(StoreError::Tpm(err)) => {
            Err(hierarchy_auth::explain(err, &info, Hierarchy::Endorsement))
        }
        other => Ok(other?),
    }
}

/// Answers a challenge: writes a proof.
fn answer(app: &App, args: &Args, request: &Path, challenge: &Path) -> anyhow::Result<()> {
    let request = proofs::read(request, Request::from_json)?;
    let challenge = proofs::read(challenge, Challenge::from_json)?;
    let transcript = request.transcript();
    if challenge.request != transcript {
        return Err(Error::OtherRequest.into());
    }
    if challenge.expires < date::now() {
        return Err(Error::ChallengeExpired {
            since: ssh_format::time::in_words(challenge.expires),
        }
        .into());
    }
    let store = app.store()?;
    let key = key_of(app, &store, args, &request)?;
    let credential = Credential {
        id_object: &challenge.id_object,
        secret: &challenge.secret,
    };
    // Read once before: what is malformed says so better than that its type is unknown.
    let ek = PublicArea::parse(&request.ek)?;
    let ek_type = EkType::of_public(&request.ek).ok_or(Error::RequestOfOtherEk)?;
    challenge.check_form(&ek)?;
    let answered = Answering {
        app,
        args,
        store: &store,
        key: &key,
        ek_type,
        credential,
        challenged: Challenged {
            key: &key.key,
            request: &transcript,
            nonce: &challenge.nonce,
        },
    };
    let (secret, attested, by) = answered.run()?;
    let proof = Proof {
        request,
        ticket: challenge.ticket,
        activation: activation(&secret, &transcript).to_vec(),
        attest: attested.attest,
        signature: attested.signature,
        sshsig: attested.sshsig,
    };
    let report = Answered {
        proof: &args.output,
        fingerprint: key.public.fingerprint().to_string(),
        by,
    };
    let said = "this is the proof; who made the challenge checks it with: tpmssh verify-proof FILE";
    proofs::write(app, &args.output, &proof.to_json(), said, &report)
}

/// A challenge that is being answered.
struct Answering<'a> {
    app: &'a App,
    args: &'a Args,
    store: &'a Store,
    key: &'a SigningKey,
    ek_type: EkType,
    credential: Credential<'a>,
    challenged: Challenged<'a>,
}

impl Answering<'_> {
    /// The secret of the challenge, the rest of the answer, and whose login was used: `agent`, or `pin` for one of this command's own.
    fn run(&self) -> anyhow::Result<(Zeroizing<Vec<u8>>, Attested, &'static str)> {
        let (store, token, challenged) = (self.store, &self.key.token, &self.challenged);
        let tpm = self.app.tpm()?;
        let pin = || read_pin_quickly(self.app, store, token, &self.args.pin);
        let Some(agent) = by_agent::Unlocked::find(&self.args.pin, token) else {
            let pin = pin()?;
            // The secret comes first, so a challenge for another TPM spends no try.
            let (secret, attested) = self.with_endorsement(|activation| {
                ssh_keys::answer(store, &tpm, token, pin.as_ref(), activation, challenged)
            })?;
            return Ok((secret, attested, "pin"));
        };
        // Before the agent is asked, which shows and records each answer.
        let secret = self
            .with_endorsement(|activation| attestation::activate(store, &tpm, token, activation))?;
        if let Some(attested) = agent.attest(&self.key.public, challenged) {
            return Ok((secret, attested, "agent"));
        }
        let pin = pin()?;
        let attested = ssh_keys::log_in_and_attest(store, &tpm, token, pin.as_ref(), challenged)?;
        Ok((secret, attested, "pin"))
    }

    fn with_endorsement<T>(
        &self,
        mut what: impl FnMut(&Activation<'_>) -> token_store::Result<T>,
    ) -> anyhow::Result<T> {
        with_endorsement(self.app, self.args, |endorsement| {
            what(&Activation {
                ek_type: self.ek_type,
                endorsement,
                credential: self.credential,
            })
        })
    }
}

/// What was written, for `--json`.
#[derive(Debug, Serialize)]
struct Answered<'a> {
    proof: &'a Path,
    fingerprint: String,
    /// Whose login was used: `agent`, or `pin` for one of this command's own.
    by: &'static str,
}

/// The key that the request is for. If one is named, it has to be that one.
fn key_of(app: &App, store: &Store, args: &Args, request: &Request) -> anyhow::Result<SigningKey> {
    let mut all = signing::all(app, store)?;
    if args.key.is_some() {
        all = vec![signing::find(all, args.key.as_deref())?];
    }
    let wanted = |key: &SigningKey| key.key.blob().blob().public == request.key;
    let key = all.into_iter().find(wanted);
    key.ok_or_else(|| Error::RequestOfOtherKey.into())
}
