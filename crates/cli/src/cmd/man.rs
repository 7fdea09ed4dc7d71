//! `tpmssh man`: write the manual pages, for packagers.

use std::fs;
use std::path::PathBuf;

use anyhow::Context;

use crate::files::output_file;

/// Write the manual pages of all commands into a directory.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The directory, which has to exist
    directory: PathBuf,
}

pub(crate) fn run(args: &Args, program: clap::Command) -> anyhow::Result<()> {
    let made = tempfile::tempdir().context("cannot make a temporary directory")?;
    clap_mangen::generate_to(program, made.path()).context("cannot make the manual pages")?;
    for page in fs::read_dir(made.path())? {
        let page = page?;
        let text = fs::read(page.path())?;
        output_file::write(&args.directory.join(page.file_name()), 0o644, &text)?;
    }
    Ok(())
}
