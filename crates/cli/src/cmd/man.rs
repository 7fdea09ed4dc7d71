//! `tpmssh man`: write the manual pages, for packagers.

use std::path::PathBuf;

use anyhow::Context;
use clap::CommandFactory;

use crate::args::Cli;

/// Write the manual pages of all commands into a directory.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The directory, which has to exist
    directory: PathBuf,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    clap_mangen::generate_to(Cli::command(), &args.directory)
        .with_context(|| format!("cannot write to {}", args.directory.display()))
}
