//! `tpmssh token change-pin`: the user changes the PIN.

use token_store::{OpenToken, token};

use crate::app::App;
use crate::ask::token_pin::{read_new_pin, read_pin};
use crate::fail::failure::prevented;
use crate::options::{NewPinArgs, TokenArg, UserPinArgs};
use crate::show::output::escape;

/// Change the PIN of a token
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    token: TokenArg,

    #[command(flatten)]
    pin: UserPinArgs,
    #[command(flatten)]
    new_pin: NewPinArgs,
}

pub(crate) fn run(app: &App, args: &Args) -> anyhow::Result<()> {
    let tpm = app.tpm()?;
    let mut store = app.store()?;
    let token = app.named_token(&store, &args.token)?;
    let old = read_pin(app, &store, &token, &args.pin)?.ok_or(token_store::Error::NoPin)?;
    // Checks the old PIN before a new one is asked for.
    prevented(
        OpenToken::open(&store, &tpm, &token, Some(&old)),
        "the PIN was not changed",
    )?;
    let new = read_new_pin(&token.label, &args.new_pin.source())?;
    prevented(
        token::change_pin(&mut store, &tpm, &token, &old, &new),
        "the PIN was not changed",
    )?;
    app.out.done(&format!(
        "the PIN of token \"{}\" is changed",
        escape(&token.label)
    ))
}
