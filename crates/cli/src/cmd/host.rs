//! `tpmssh host`: the host keys of an SSH server.

mod setup;

use crate::app::App;

/// Keep the host keys of this machine's SSH server in the TPM
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    Setup(setup::Args),
}

pub(crate) fn run(app: &App, command: &Command) -> anyhow::Result<()> {
    match command {
        Command::Setup(args) => setup::run(app, args),
    }
}
