//! `tpmssh token init`: make a token.

use std::fmt;

use serde::Serialize;
use ssh_format::text::shown;
use token_store::token::{self, DEFAULT_TRIES, InitOptions, Renewal};
use token_store::{Error as StoreError, Token, WallKind};
use tpm_core::{OwnerAuth, info};

use crate::app::App;
use crate::ask::confirm::confirm;
use crate::ask::hierarchy_auth;
use crate::ask::token_pin::{read_new_pin, read_so_pin};
use crate::keys::{make_token, public_files};
use crate::options::{OwnerAuthArgs, PinArgs, SoPinArgs, SoPinOutArgs};
use crate::show::token::Summary;

/// Make a token: a place for keys in the TPM, behind a PIN
///
/// A recovery code (SO PIN) is made up and shown once, unless one is given. It sets a new PIN if the
/// PIN is forgotten or locked. It cannot use the keys. Write it down and keep it away from the
/// machine.
#[derive(Debug, clap::Args)]
#[command(mut_arg("so_pin_out", |arg| {
    arg.conflicts_with_all(["so_pin_file", "so_pin_fd", "again"])
}))]
pub(crate) struct Args {
    /// The label of the token, at most 32 bytes ("ssh")
    #[arg(value_name = "LABEL")]
    name: Option<String>,

    /// The same as LABEL
    #[arg(long, conflicts_with = "name", hide = true)]
    label: Option<String>,

    /// Make an existing token anew: its keys are gone, its serial number and SO PIN stay
    ///
    /// A token with a PIN counter gets another counter, so that a copy of the store from before
    /// opens with no PIN, neither the old one nor the new one.
    #[arg(long, conflicts_with = "pin_wall")]
    again: bool,

    /// With --again: do not ask
    #[arg(long, short, requires = "again")]
    yes: bool,

    /// How PIN guessing is limited: counter (in this token only; the default), lockout (shared by the
    /// whole TPM) or none (no PIN); the configuration file may have another default
    #[arg(long, value_name = "WALL", value_parser = ["counter", "lockout", "none"])]
    pin_wall: Option<String>,

    /// How many wrong PINs in a row lock the token (3, or as before with --again)
    #[arg(long, value_name = "N")]
    max_tries: Option<u32>,

    #[command(flatten)]
    pin: PinArgs,
    #[command(flatten)]
    so_pin: SoPinArgs,
    #[command(flatten)]
    so_pin_out: SoPinOutArgs,
    #[command(flatten)]
    owner: OwnerAuthArgs,
}

impl Args {
    fn label(&self) -> Option<&str> {
        self.name.as_deref().or(self.label.as_deref())
    }
}

pub(crate) fn run(app: &App, args: &Args) -> anyhow::Result<()> {
    if args.again {
        return again(app, args);
    }
    let label = args.label().unwrap_or(make_token::DEFAULT_LABEL);
    let mut options = InitOptions::new(label);
    options.wall = args.pin_wall.as_deref().map(str::parse).transpose()?;
    options.max_tries = args.max_tries.unwrap_or(DEFAULT_TRIES);
    let (pin, so, owner) = (args.pin.source(), args.so_pin.source(), args.owner.source());
    let (made, _) = make_token::init(app, &options, &pin, &so, &owner, &args.so_pin_out)?;
    finish(app, &made.token)
}

fn finish(app: &App, made: &Token) -> anyhow::Result<()> {
    let done = format!("token \"{}\" is made", shown(&made.label));
    let report = Report(Summary::from(made));
    app.out
        .print_done(&report, &done, "see it with: tpmssh token list")
}

/// Makes an existing token anew.
fn again(app: &App, args: &Args) -> anyhow::Result<()> {
    let tpm = app.tpm()?;
    let mut store = app.store()?;
    let token = app.token(&store)?;
    if !token.so_pin_is_set {
        return Err(StoreError::NoSo.into());
    }
    if let Some(label) = args.label().filter(|label| *label != token.label) {
        token::check_label(label)?;
        make_token::check_free(&store, label)?;
    }
    let question = format!(
        "Make token \"{}\" anew? Its keys are gone for ever.",
        shown(&token.label)
    );
    confirm(&question, args.yes)?;
    let info = tpm
        .begin()
        .and_then(|op| info::read(&op))
        .map_err(StoreError::from)?;
    let so = read_so_pin(&token, &args.so_pin.source())?;
    let label = args.label().unwrap_or(&token.label);
    let pin = match token.wall {
        WallKind::None => None,
        WallKind::Counter | WallKind::Lockout => Some(read_new_pin(label, &args.pin.source())?),
    };
    let owner = match token.wall {
        WallKind::Counter => hierarchy_auth::read_owner(&args.owner.source(), &info)?,
        WallKind::Lockout | WallKind::None => OwnerAuth::empty(),
    };
    let renewal = Renewal {
        label,
        max_tries: args.max_tries,
        so: &so,
        pin: pin.as_ref(),
    };
    let made = token::renew(&mut store, &tpm, &token, &renewal, &owner)?;
    public_files::update(&store);
    finish(app, &made)
}

#[derive(Debug, Serialize)]
#[serde(transparent)]
struct Report(Summary);

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "token \"{}\" made", shown(&self.0.label))
    }
}
