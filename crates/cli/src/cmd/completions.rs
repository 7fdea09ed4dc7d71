//! `tpmssh completions`: print the completion script of a shell, for packagers.

use clap::ValueEnum;

use crate::show::output;

/// Print the completion script of a shell.
///
/// Names of tokens and keys are completed as well: the script asks the program, which reads the
/// store and needs no TPM.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The shell
    shell: Shell,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Shell {
    Bash,
    Zsh,
    Fish,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    Ok(output::write(match args.shell {
        Shell::Bash => include_str!("completions/tpmssh.bash"),
        Shell::Zsh => include_str!("completions/tpmssh.zsh"),
        Shell::Fish => include_str!("completions/tpmssh.fish"),
    })?)
}
