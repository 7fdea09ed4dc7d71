//! `tpmssh completions`: print completions for a shell, for packagers.

use clap::CommandFactory;
use clap_complete::Shell;

use crate::args::Cli;
use crate::show::output;

/// Print the completions for a shell.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The shell
    shell: Shell,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "tpmssh", &mut script);
    Ok(output::write(&String::from_utf8(script)?)?)
}
