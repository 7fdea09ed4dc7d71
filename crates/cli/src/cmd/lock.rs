//! `tpmssh lock`: make the agent forget all PINs.

use agent::client::Client;

use crate::app::App;
use crate::options::SocketArgs;

/// Make the agent forget all PINs
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    socket: SocketArgs,
}

pub(crate) fn run(app: &App, args: &Args) -> anyhow::Result<()> {
    Client::connect(&args.socket.path()?)?.lock()?;
    app.out.done("the agent has forgotten all PINs")
}
