//! `tpmssh token init`: make a token.

use std::fmt;

use serde::Serialize;
use token_store::token::{DEFAULT_TRIES, InitOptions};

use crate::app::App;
use crate::keys::make_token;
use crate::options::{OwnerAuthArgs, PinArgs, SoPinArgs};
use crate::show::output::escape;
use crate::show::token::Summary;

/// Make a token: a place for keys in the TPM, behind a PIN
///
/// An SO PIN is made up and shown once, unless one is given. It sets a new PIN when the
/// first one is forgotten or locked, and cannot use the keys: write it down and keep it
/// away from the machine.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// What to call the token
    #[arg(long, default_value = make_token::DEFAULT_LABEL)]
    label: String,

    /// What stands between the keys and somebody who does not know the PIN: a counter of
    /// the token's own, the lockout that the whole TPM shares, or nothing (a counter where
    /// the TPM has one)
    #[arg(long, value_name = "WALL", value_parser = ["counter", "lockout", "none"])]
    pin_wall: Option<String>,

    /// How many wrong PINs in a row lock the token
    #[arg(long, value_name = "N", default_value_t = DEFAULT_TRIES)]
    max_tries: u32,

    #[command(flatten)]
    pin: PinArgs,
    #[command(flatten)]
    so_pin: SoPinArgs,
    #[command(flatten)]
    owner: OwnerAuthArgs,
}

pub(crate) fn run(app: &App, args: &Args) -> anyhow::Result<()> {
    let mut options = InitOptions::new(&args.label);
    options.wall = args.pin_wall.as_deref().map(str::parse).transpose()?;
    options.max_tries = args.max_tries;
    let (pin, so, owner) = (args.pin.source(), args.so_pin.source(), args.owner.source());
    let (made, _) = make_token::init(app, &options, &pin, &so, &owner)?;
    let done = format!("token \"{}\" is made", escape(&made.token.label));
    let report = Report(Summary::from(&made.token));
    app.out
        .print_done(&report, &done, "see it with: tpmssh token list")
}

#[derive(Debug, Serialize)]
#[serde(transparent)]
struct Report(Summary);

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "token \"{}\" made", escape(&self.0.label))
    }
}
