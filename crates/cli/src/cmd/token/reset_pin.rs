//! `tpmssh token reset-pin`: the SO sets a new PIN.

use token_store::{Error as StoreError, SoToken, WallKind};

use crate::app::App;
use crate::ask::token_pin::{read_new_pin, read_so_pin};
use crate::fail::failure::prevented;
use crate::options::{NewPinArgs, SoPinArgs, TokenArg};
use crate::show::output::escape;

/// Set a new PIN with the recovery code (SO PIN)
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    token: TokenArg,

    #[command(flatten)]
    so_pin: SoPinArgs,
    #[command(flatten)]
    new_pin: NewPinArgs,
}

pub(crate) fn run(app: &App, args: &Args) -> anyhow::Result<()> {
    let tpm = app.tpm()?;
    let mut store = app.store()?;
    let token = app.named_token(&store, &args.token)?;
    if token.wall == WallKind::None {
        return Err(StoreError::NoPin.into());
    }
    if !token.so_pin_is_set {
        return Err(StoreError::NoSo.into());
    }
    let so = read_so_pin(&token, &args.so_pin.source())?;
    // Checks the SO PIN before a new PIN is asked for.
    let so_token = prevented(
        SoToken::open(&store, &tpm, &token, &so),
        "the PIN was not reset",
    )?;
    let new = read_new_pin(&token.label, &args.new_pin.source())?;
    prevented(
        so_token.reset_pin(&mut store, &new),
        "the PIN was not reset",
    )?;
    app.out.done(&format!(
        "token \"{}\" has the new PIN",
        escape(&token.label)
    ))
}
