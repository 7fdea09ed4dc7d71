//! `tpmssh host`: the host keys of an SSH server.

mod check;
mod drop_in;
mod enrol;
mod exchange;
mod host_units;
mod place;
mod remove;
mod renew;
mod server;
mod server_keys;
mod setup;
mod status;

use crate::app::App;

/// Keep the host keys of this machine's SSH server in the TPM
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    Setup(Box<setup::Args>),
    Check(check::Args),
    Status(status::Args),
    Renew(renew::Args),
    Remove(remove::Args),
}

pub(crate) fn run(app: &App, command: &Command) -> anyhow::Result<()> {
    match command {
        Command::Setup(args) => setup::run(app, args),
        Command::Check(args) => check::run(app, args),
        Command::Status(args) => status::run(app, args),
        Command::Renew(args) => renew::run(app, args),
        Command::Remove(args) => remove::run(app, args),
    }
}
