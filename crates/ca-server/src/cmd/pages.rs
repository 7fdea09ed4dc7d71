//! `tpmssh-ca man` and `completions`: the files that packages install.

use std::io;
use std::path::PathBuf;

use anyhow::Context;
use clap_complete::Shell;

use crate::files;

/// Write the manual pages of all commands into a directory, for packagers
///
/// They are in section 8: `tpmssh ca` has its pages in section 1.
#[derive(Debug, clap::Args)]
pub(super) struct ManArgs {
    /// The directory, which has to exist
    directory: PathBuf,
}

/// Print the completion script of a shell, for packagers
#[derive(Debug, clap::Args)]
pub(super) struct CompletionArgs {
    /// The shell
    shell: Shell,
}

pub(super) fn man(args: &ManArgs, program: clap::Command) -> anyhow::Result<()> {
    let mut program = program.disable_help_subcommand(true);
    program.build();
    add(&args.directory, &program)
}

/// Writes the page of a command and of those below it.
fn add(directory: &std::path::Path, command: &clap::Command) -> anyhow::Result<()> {
    let mut page = Vec::new();
    let man = clap_mangen::Man::new(command.clone()).section("8");
    let path = directory.join(man.get_filename());
    man.render(&mut page)
        .with_context(|| format!("cannot make {}", path.display()))?;
    files::write_new(&path, 0o644, &page)?;
    for sub in command.get_subcommands().filter(|it| !it.is_hide_set()) {
        add(directory, sub)?;
    }
    Ok(())
}

pub(super) fn completions(args: &CompletionArgs, mut program: clap::Command) -> anyhow::Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut program, "tpmssh-ca", &mut script);
    io::Write::write_all(&mut io::stdout(), &script).context("cannot print")
}
