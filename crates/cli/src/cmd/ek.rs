//! `tpmssh ek`: the endorsement key, which identifies a TPM, and the certificates of makers.

mod roots;
mod show;

use crate::app::App;

/// See what identifies this TPM, and which makers' TPMs count
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    Show(show::Args),
    Export(show::ExportArgs),
    #[command(subcommand)]
    Roots(roots::Command),
}

pub(crate) fn run(app: &App, command: &Command) -> anyhow::Result<()> {
    match command {
        Command::Show(args) => show::show(app, args),
        Command::Export(args) => show::export(app, args),
        Command::Roots(command) => roots::run(app, command),
    }
}
