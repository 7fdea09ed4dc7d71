//! `tpmssh agent env`: the line that sets `SSH_AUTH_SOCK` in a shell.

use agent::client::Client;

use super::shell::ShellArgs;
use crate::options::SocketArgs;
use crate::show::output::{self, tell};

/// Print the line by which a shell finds the agent
///
/// It is for the shell that runs this program, or for the one that --shell names.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    shell: ShellArgs,
    #[command(flatten)]
    socket: SocketArgs,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let path = args.socket.path()?;
    output::write(&args.shell.get().export("SSH_AUTH_SOCK", &path))?;
    if let Err(agent::Error::NotRunning { .. }) = Client::connect(&path) {
        tell(
            "tpmssh: no agent is running there; start it: tpmssh agent --daemon, or tpmssh agent install",
        );
    }
    Ok(())
}
