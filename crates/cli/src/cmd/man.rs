//! `tpmssh man`: write the manual pages, for packagers.

mod config;
mod page;
mod parts;
mod sections;

use std::path::PathBuf;

use clap::Command;

use crate::files::output_file;

/// Write the manual pages of all commands into a directory.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The directory, which has to exist
    directory: PathBuf,
}

pub(crate) fn run(args: &Args, program: Command) -> anyhow::Result<()> {
    let mut program = program.disable_help_subcommand(true);
    program.build();
    let mut pages = vec![("tpmssh-config.5".to_owned(), config::page())];
    add(&program, "", &mut pages)?;
    for (name, text) in pages {
        output_file::write(&args.directory.join(name), 0o644, text.as_bytes())?;
    }
    Ok(())
}

/// Adds the pages of a command and of those below it. `path` has the words after `tpmssh`.
fn add(command: &Command, path: &str, pages: &mut Vec<(String, String)>) -> anyhow::Result<()> {
    let name = ["tpmssh", path].join(" ").trim_end().replace(' ', "-");
    pages.push((format!("{name}.1"), page::of(command, &name, path)?));
    for sub in page::shown(command) {
        add(
            sub,
            format!("{path} {}", sub.get_name()).trim_start(),
            pages,
        )?;
    }
    Ok(())
}
