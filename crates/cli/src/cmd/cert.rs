//! `tpmssh cert`: certificates beside the keys that they are for.

mod add;
mod export;
mod import_x509;
mod list;
mod remove;

use crate::app::App;

/// Keep certificates beside the keys that they are for
///
/// SSH certificates: tpmssh agent offers them by itself; ssh with the PKCS#11 module takes them
/// from a file: tpmssh cert export says how.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    Add(add::Args),
    List(list::Args),
    Export(export::Args),
    Remove(remove::Args),
    #[command(name = "import-x509")]
    ImportX509(import_x509::Args),
}

pub(crate) fn run(app: &App, command: &Command) -> anyhow::Result<()> {
    match command {
        Command::Add(args) => add::run(app, args),
        Command::List(args) => list::run(app, args),
        Command::Export(args) => export::run(app, args),
        Command::Remove(args) => remove::run(app, args),
        Command::ImportX509(args) => import_x509::run(app, args),
    }
}
