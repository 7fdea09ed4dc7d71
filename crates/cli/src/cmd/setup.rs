//! `tpmssh setup`: everything that a new machine needs for a key.

mod offers;

use std::fmt;
use std::path::PathBuf;

use serde::Serialize;
use ssh_format::text::shown;
use token_store::token::InitOptions;
use token_store::{Error as StoreError, KeySpec, Pin, Store, Token};
use tpm_core::KeyType;
use tpm_core::info;

use crate::app::App;
use crate::ask::confirm;
use crate::ask::token_pin::read_pin;
use crate::fail::error::Error;
use crate::keys::{self, Key, make, make_token, public_files, signing};
use crate::machine::module;
use crate::machine::simulator::Simulator;
use crate::options::{OwnerAuthArgs, SoPinArgs, SoPinOutArgs, UserPinArgs};
use crate::show::chip::words;
use crate::show::output::{escape, tell};

/// Go from a fresh machine to an SSH key in the TPM
///
/// Finds the TPM, makes a token and a key in it, and prints the line for authorized_keys. Then it
/// offers to install the agent and to have git sign with the key, and says what to do next. Existing tokens and keys are used unchanged, so it can be run again.
#[derive(Debug, clap::Args)]
#[command(mut_arg("yes", |arg| {
    arg.help("Install the agent and set git up without asking, where that is possible; use the PIN even if only one try is left")
}))]
#[command(mut_arg("so_pin_out", |arg| arg.conflicts_with_all(["so_pin_file", "so_pin_fd"])))]
pub(crate) struct Args {
    /// Start a simulated TPM, which protects nothing, if there is no real one
    #[arg(long)]
    simulator: bool,

    /// Use the token with this label, and make it if it does not exist ("ssh" if there is no token)
    #[arg(long)]
    label: Option<String>,

    /// Use the key with this label, and make it if it does not exist ("user@host key" if there is no key)
    #[arg(long, value_name = "LABEL")]
    key_label: Option<String>,

    #[command(flatten)]
    offers: offers::OfferArgs,

    #[command(flatten)]
    pin: UserPinArgs,
    #[command(flatten)]
    so_pin: SoPinArgs,
    #[command(flatten)]
    so_pin_out: SoPinOutArgs,
    #[command(flatten)]
    owner: OwnerAuthArgs,
}

pub(crate) fn run(app: &App, args: &Args) -> anyhow::Result<()> {
    if let (Some(label), Some(token)) = (&args.label, app.token_option())
        && label != token
    {
        return Err(Error::Usage("--token and --label name two tokens".into()).into());
    }
    let app = find_tpm(app, args)?;
    let key_type = look_at_tpm(&app)?;
    let (mut store, token, pin) = find_or_make_token(&app, args)?;
    let key = find_or_make_key(&app, args, &mut store, &token, pin, key_type)?;
    public_files::update(&store);
    let (offered, failure) =
        args.offers
            .make(&app.for_token(&token)?, &key, args.pin.answers_yes());
    let done = format!("the key \"{}\" is there", shown(&key.label));
    let report = Report {
        module: module::path(),
        token: token.label,
        key,
        offered,
    };
    app.out
        .print_done(&report, &done, "see it with: tpmssh export")?;
    if !app.out.is_json() {
        let is_only_key = signing::all(&app, &store).is_ok_and(
            |keys| matches!(&keys[..], [only] if only.shown.fingerprint == report.key.fingerprint),
        );
        let module = report.module.as_deref();
        report.offered.tell_next(module, &report.key, is_only_key);
    }
    failure.map_or(Ok(()), Err)
}

/// Says which TPM it is, or starts a simulated one if that is wanted.
fn find_tpm(app: &App, args: &Args) -> anyhow::Result<App> {
    match app.tpm() {
        Ok(tpm) => match tpm.begin() {
            Err(tpm_core::Error::NoTpm { .. }) if app.config.simulated => {
                tell("The simulated TPM is not running; starting it again.");
            }
            _ => return app.reload(),
        },
        Err(err) if is_none_configured(&err) => {
            let question =
                "No TPM found. Start a simulated one, which protects nothing, to try things out?";
            if !args.simulator && !confirm::ask(question).map_err(|_| Error::NoTpmToSetUp)? {
                return Err(Error::NoTpmToSetUp.into());
            }
        }
        Err(err) => return Err(err),
    }
    app.start_simulator(&Simulator::for_user()?)?;
    app.reload()
}

fn is_none_configured(err: &anyhow::Error) -> bool {
    matches!(err.downcast_ref(), Some(StoreError::NoTpmConfigured))
}

/// Prints the model of the TPM. Returns the kind of key to make in it.
fn look_at_tpm(app: &App) -> anyhow::Result<KeyType> {
    let tpm = app.tpm()?;
    let (info, key_types) = tpm
        .begin()
        .and_then(|op| Ok((info::read(&op)?, info::key_types(&op)?)))
        .map_err(StoreError::from)?;
    tell(&format!(
        "TPM: {} {} at {}",
        escape(&info.manufacturer),
        escape(&words(&info.vendor_string)),
        tpm.found()
    ));
    let key_type = key_types.first().copied();
    Ok(key_type
        .ok_or(tpm_core::Error::NotSupported("any key type that SSH knows"))
        .map_err(StoreError::from)?)
}

/// The token that is meant, or a new one with the PIN that was chosen for it.
fn find_or_make_token(app: &App, args: &Args) -> anyhow::Result<(Store, Token, Option<Pin>)> {
    let store = app.store_or_new()?;
    let there = match &args.label {
        Some(label) => store.tokens()?.into_iter().find(|it| it.label == *label),
        None => match app.token(&store) {
            Err(err) if is_no_token(&err) => None,
            token => Some(token?),
        },
    };
    if let Some(token) = there {
        tell(&format!("Token: \"{}\" exists", shown(&token.label)));
        return Ok((store, token, None));
    }
    let options = InitOptions::new(args.label.as_deref().unwrap_or(make_token::DEFAULT_LABEL));
    let (pin, so, owner) = (args.pin.source(), args.so_pin.source(), args.owner.source());
    let (made, pin) = make_token::init(app, &options, &pin, &so, &owner, &args.so_pin_out)?;
    tell(&format!("Token: \"{}\" made", shown(&made.token.label)));
    Ok((app.store()?, made.token, pin))
}

fn is_no_token(err: &anyhow::Error) -> bool {
    matches!(err.downcast_ref(), Some(Error::NoToken))
}

/// Finds the named key, or else the first key for logins; makes a key if there is none.
fn find_or_make_key(
    app: &App,
    args: &Args,
    store: &mut Store,
    token: &Token,
    pin: Option<Pin>,
    key_type: KeyType,
) -> anyhow::Result<Key> {
    let mut there = keys::of_token(store, token)?.into_iter();
    let is_meant = |key: &Key| match &args.key_label {
        Some(label) => key.private && key.label == *label,
        None => key.private && key.signs() && !key.authority,
    };
    if let Some(key) = there.find(is_meant) {
        tell(&format!(
            "Key: {} \"{}\" exists",
            key.key_type,
            shown(&key.label)
        ));
        return Ok(key);
    }
    let label = match &args.key_label {
        Some(label) => label.clone(),
        None => make::free_label(store, token)?,
    };
    make::check_label(store, token, &label)?;
    let pin = match pin {
        Some(pin) => Some(pin),
        None => read_pin(app, store, token, &args.pin)?,
    };
    let key = make::key(
        app,
        store,
        token,
        &KeySpec::new(key_type, label),
        pin.as_ref(),
    )?;
    tell(&format!(
        "Key: {} \"{}\" made",
        key.key_type,
        shown(&key.label)
    ));
    Ok(key)
}

#[derive(Debug, Serialize)]
struct Report {
    /// The label of the token.
    token: String,
    key: Key,
    /// The PKCS#11 module, if it is where it is expected.
    module: Option<PathBuf>,
    #[serde(flatten)]
    offered: offers::Offered,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.key.public_key)
    }
}
