//! `tpmssh token repair`: the SO makes a lost PIN counter again.

use token_store::{Error as StoreError, SoToken, WallKind};
use tpm_core::info;

use crate::app::App;
use crate::ask::hierarchy_auth;
use crate::ask::token_pin::{read_new_pin, read_so_pin};
use crate::fail::error::Error;
use crate::fail::failure::prevented;
use crate::options::{NewPinArgs, OwnerAuthArgs, SoPinArgs, TokenArg};
use crate::show::output::escape;

/// Recreate a PIN counter that was deleted or replaced
///
/// The keys work again afterwards, with the new PIN. It takes the recovery code (SO PIN).
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    token: TokenArg,

    #[command(flatten)]
    so_pin: SoPinArgs,
    #[command(flatten)]
    new_pin: NewPinArgs,
    #[command(flatten)]
    owner: OwnerAuthArgs,
}

pub(crate) fn run(app: &App, args: &Args) -> anyhow::Result<()> {
    let tpm = app.tpm()?;
    let mut store = app.store()?;
    let token = app.named_token(&store, &args.token)?;
    if token.wall != WallKind::Counter {
        return Err(Error::NoCounter { wall: token.wall }.into());
    }
    if !token.so_pin_is_set {
        return Err(StoreError::NoSo.into());
    }
    let info = tpm
        .begin()
        .and_then(|op| info::read(&op))
        .map_err(StoreError::from)?;
    let so = read_so_pin(&token, &args.so_pin.source())?;
    let new = read_new_pin(&token.label, &args.new_pin.source())?;
    let owner = hierarchy_auth::read_owner(&args.owner.source(), &info)?;
    let done = SoToken::open(&store, &tpm, &token, &so)
        .and_then(|so_token| so_token.repair(&mut store, &new, &owner));
    prevented(done, "the token was not repaired")?;
    app.out.done(&format!(
        "token \"{}\" works again, with the new PIN",
        escape(&token.label)
    ))
}
