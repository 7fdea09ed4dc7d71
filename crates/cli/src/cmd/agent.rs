//! `tpmssh agent`: the keys for ssh, git and sshd without a provider path.

mod daemon;
mod env;
mod install;
mod log;
mod serve;
mod session;
mod shell;
mod status;
mod uninstall;

use crate::app::App;

pub(crate) use install::install;
pub(crate) use session::{is_installed, manager_answers};

/// Serve the keys of all tokens to ssh, as an ssh-agent
///
/// It runs until Ctrl-C or SIGTERM, and sees keys that are made or deleted while it runs. It asks for the PIN when a key is used; `tpmssh unlock` gives the PIN before.
#[derive(Debug, clap::Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_long_help = serve::CONFIGURATION
)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: serve::ServeArgs,
}

/// What else there is to do with an agent.
#[derive(Debug, clap::Subcommand)]
enum Command {
    Env(env::Args),
    Install(install::Args),
    Log(log::Args),
    Status(status::Args),
    Uninstall(uninstall::Args),
}

pub(crate) fn run(app: &App, args: &Args) -> anyhow::Result<()> {
    match &args.command {
        None => serve::run(app, &args.serve),
        Some(Command::Env(args)) => env::run(args),
        Some(Command::Install(args)) => install::run(app, args),
        Some(Command::Log(args)) => log::run(app, args),
        Some(Command::Status(args)) => status::run(app, args),
        Some(Command::Uninstall(args)) => uninstall::run(app, args),
    }
}
