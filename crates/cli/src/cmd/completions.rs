//! `tpmssh completions`: print completions for a shell, for packagers.

use clap_complete::Shell;

use crate::show::output;

/// Print the completions for a shell.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The shell
    shell: Shell,
}

pub(crate) fn run(args: &Args, mut program: clap::Command) -> anyhow::Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut program, "tpmssh", &mut script);
    Ok(output::write(&String::from_utf8(script)?)?)
}
