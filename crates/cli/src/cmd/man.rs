//! `tpmssh man`: write the manual pages, for packagers.

use std::path::PathBuf;

use anyhow::Context;

/// Write the manual pages of all commands into a directory.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The directory, which has to exist
    directory: PathBuf,
}

pub(crate) fn run(args: &Args, program: clap::Command) -> anyhow::Result<()> {
    clap_mangen::generate_to(program, &args.directory)
        .with_context(|| format!("cannot write to {}", args.directory.display()))
}
