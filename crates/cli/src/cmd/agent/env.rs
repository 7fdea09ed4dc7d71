//! `tpmssh agent env`: what a shell has to know.

use crate::fail::hint::quote;
use crate::options::SocketArgs;
use crate::show::output;

/// Print the line by which a shell finds the agent: eval "$(tpmssh agent env)"
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    socket: SocketArgs,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let path = quote(&args.socket.path()?);
    output::write(&format!("SSH_AUTH_SOCK={path}; export SSH_AUTH_SOCK;\n"))?;
    Ok(())
}
