//! `tpmssh unlock`: give the agent a PIN before it needs it.

use std::time::Duration;

use agent::client::Client;
use ssh_format::text::shown;

use crate::app::App;
use crate::ask::token_pin::read_pin;
use crate::options::{SocketArgs, TokenArg, UserPinArgs};
use crate::show::duration;

/// Give the agent the PIN of a token, so that it need not ask
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    token: TokenArg,
    #[command(flatten)]
    pin: UserPinArgs,
    /// How long the agent keeps the PIN, such as 30m or 8h (as configured)
    #[arg(long, short, value_name = "TIME", value_parser = time)]
    time: Option<Duration>,
    #[command(flatten)]
    socket: SocketArgs,
}

pub(crate) fn run(app: &App, args: &Args) -> anyhow::Result<()> {
    // First: without an agent no PIN is asked for.
    let mut agent = Client::connect(&args.socket.path()?)?;
    let store = app.store()?;
    let token = app.named_token(&store, &args.token)?;
    let pin = read_pin(app, &store, &token, &args.pin)?.ok_or(token_store::Error::NoPin)?;
    agent.unlock(&token.serial, pin.bytes(), args.time)?;
    app.out
        .done(&format!("token \"{}\" is unlocked", shown(&token.label)))
}

fn time(text: &str) -> Result<Duration, String> {
    match duration::parse(text)? {
        0 => Err("it is at least a second".into()),
        seconds => Ok(Duration::from_secs(seconds.into())),
    }
}
