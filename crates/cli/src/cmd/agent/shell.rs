//! Lines for the shell that runs this program.

use std::fs;
use std::path::Path;

use clap::ValueEnum;

use crate::show::path::quote;

/// For which shell lines are printed.
#[derive(Debug, clap::Args)]
pub(super) struct ShellArgs {
    /// The shell that reads the output (the shell that runs tpmssh)
    #[arg(long, value_enum, value_name = "SHELL")]
    shell: Option<Shell>,
}

/// The shells whose lines differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Shell {
    /// bash, and every shell with the commands of sh: dash, ksh, zsh
    #[value(alias = "sh", alias = "zsh", alias = "dash", alias = "ksh")]
    Bash,
    /// fish
    Fish,
    /// csh and tcsh
    #[value(alias = "tcsh")]
    Csh,
}

impl ShellArgs {
    /// The shell that was named, else the one that runs this program, else the login shell.
    ///
    /// The variable `SHELL` comes last: a script of sh, such as `~/.profile`, runs in sh whatever the
    /// login shell is.
    pub(super) fn get(&self) -> Shell {
        let parent = || {
            let pid = rustix::process::getppid()?;
            let name = fs::read_to_string(format!("/proc/{}/comm", pid.as_raw_nonzero())).ok()?;
            Shell::called(name.trim_end())
        };
        let login = || {
            let path = std::env::var_os("SHELL")?;
            Shell::called(Path::new(&path).file_name()?.to_str()?)
        };
        let found = self.shell.or_else(parent).or_else(login);
        found.unwrap_or(Shell::Bash)
    }
}

impl Shell {
    /// The shell whose program has this name.
    fn called(name: &str) -> Option<Self> {
        match name {
            "sh" | "bash" | "dash" | "zsh" | "ksh" | "ash" | "busybox" => Some(Self::Bash),
            "fish" => Some(Self::Fish),
            "csh" | "tcsh" => Some(Self::Csh),
            _ => None,
        }
    }

    /// The line that exports a variable.
    pub(super) fn export(self, name: &str, value: &Path) -> String {
        let value = quote(value);
        match self {
            Self::Bash => format!("{name}={value}; export {name};\n"),
            Self::Fish => format!("set -gx {name} {value};\n"),
            Self::Csh => format!("setenv {name} {value};\n"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_in_the_words_of_its_shell() {
        let path = Path::new("/run/user/1000/a b");
        for (shell, line) in [
            ("bash", "S='/run/user/1000/a b'; export S;\n"),
            ("dash", "S='/run/user/1000/a b'; export S;\n"),
            ("fish", "set -gx S '/run/user/1000/a b';\n"),
            ("tcsh", "setenv S '/run/user/1000/a b';\n"),
        ] {
            assert_eq!(Shell::called(shell).unwrap().export("S", path), line);
        }
        assert_eq!(Shell::called("make"), None);
    }
}
