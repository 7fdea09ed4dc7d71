//! `tpmssh token init`: make a token.

use std::fmt;

use serde::Serialize;
use token_store::token::{self, DEFAULT_TRIES, InitOptions, Initialized};
use token_store::{Pin, SoPin, WallKind};
use zeroize::Zeroizing;

use super::list::Entry;
use crate::app::{App, read_new_pin, read_owner_auth};
use crate::args::{OwnerAuthArgs, PinArgs, SoPinArgs};
use crate::ask::pin_prompt::Source;
use crate::show::output::{escape, tell};

/// Make a token: a place for keys in the TPM, behind a PIN
///
/// An SO PIN is made up and shown once, unless one is given. It sets a new PIN when the
/// first one is forgotten or locked, and cannot use the keys: write it down and keep it
/// away from the machine.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// What to call the token
    #[arg(long, default_value = DEFAULT_LABEL)]
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

/// The label of a token that nobody named.
pub(crate) const DEFAULT_LABEL: &str = "ssh";

pub(crate) fn run(app: &App, args: &Args) -> anyhow::Result<()> {
    let mut options = InitOptions::new(&args.label);
    options.wall = args.pin_wall.as_deref().map(str::parse).transpose()?;
    options.max_tries = args.max_tries;
    let (pin, so, owner) = (args.pin.source(), args.so_pin.source(), args.owner.source());
    let (made, _) = init(app, &options, &pin, &so, &owner)?;
    app.out.print(&Report(Entry::from(&made.token)))
}

/// Makes a token and says everything about it that is not data.
///
/// Returns the token and the PIN that was chosen for it.
///
/// # Errors
///
/// Whatever prevented it; no token exists then.
pub(crate) fn init(
    app: &App,
    options: &InitOptions,
    pin: &Source,
    so: &Source,
    owner: &Source,
) -> anyhow::Result<(Initialized, Option<Pin>)> {
    // Before anybody is asked for anything.
    token::check_label(&options.label)?;
    let tpm = app.tpm()?;
    let mut store = app.store_or_new()?;

    let owner = read_owner_auth(owner)?;
    let chosen = match so {
        Source::Ask => None,
        source => Some(read_chosen_so_pin(&options.label, source)?),
    };
    let pin = match options.wall {
        Some(WallKind::None) => None,
        _ => Some(read_new_pin(&options.label, pin)?),
    };
    let generated = chosen.is_none().then(SoPin::generate);
    let so = chosen.as_ref().or(generated.as_ref());
    let made = token::init(&mut store, &tpm, options, so, pin.as_ref(), &owner)?;

    if let Some(reason) = made.fallback {
        tell(&format!(
            "tpmssh: {reason}, so the lockout of the whole TPM guards this token"
        ));
    }
    if let Some(so) = generated {
        show(&so);
    }
    Ok((made, pin))
}

fn read_chosen_so_pin(label: &str, source: &Source) -> anyhow::Result<SoPin> {
    let typed = source.read(&format!("SO PIN for token \"{}\"", escape(label)))?;
    Ok(SoPin::new(&typed).map_err(token_store::Error::from)?)
}

/// Shows a generated SO PIN, which is in no file.
pub(super) fn show(so: &SoPin) {
    let text = Zeroizing::new(format!(
        "SO PIN: {}\nWrite it down now: it is shown only this once. It sets a new PIN when yours is locked or lost.",
        so.reveal()
    ));
    tell(&text);
}

#[derive(Debug, Serialize)]
#[serde(transparent)]
struct Report(Entry);

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "token \"{}\" made", escape(&self.0.label))
    }
}
