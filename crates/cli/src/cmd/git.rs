//! `tpmssh git`: commits and tags signed by a key of the TPM.

mod config;
mod program;
mod record;
mod setup;
mod unset;

use crate::app::App;

pub(crate) use setup::{Signing, set_up_for_user, signing_of_user};

/// Sign git commits and tags with a key of the TPM
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    Setup(setup::Args),
    #[command(hide = true)]
    Program(program::Args),
}

pub(crate) fn run(app: &App, command: &Command) -> anyhow::Result<()> {
    match command {
        Command::Setup(args) => setup::run(app, args),
        Command::Program(args) => program::run(app, args),
    }
}
