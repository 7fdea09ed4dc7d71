//! Where a PIN comes from: a file, a descriptor, the terminal or an askpass program.
//!
//! Never from the command line or the environment, which other processes can
//! read. If nobody can be asked, that is an error: the PIN is never taken to be empty.

mod askpass;
mod input;
mod terminal;

use std::env;
use std::path::PathBuf;

use zeroize::Zeroizing;

use crate::fail::error::{Error, Result};
use crate::fail::not_imported::NotImported;
use crate::show::output::{error_line, tell};

pub(crate) use terminal::Terminal;

/// The bytes of a PIN or another secret, wiped when dropped.
pub(crate) type Secret = Zeroizing<Vec<u8>>;

/// Where the user said that a secret is; nowhere means that a person is asked.
#[derive(Debug, Clone, Default)]
pub(crate) enum Source {
    /// The only line of a file that nobody else may read.
    File(PathBuf),
    /// The next line from an inherited file descriptor.
    Fd(u32),
    /// The terminal or an askpass program.
    #[default]
    Ask,
}

impl Source {
    /// Of the two options of a command at most one is given, which clap has checked.
    pub(crate) fn from_options(file: Option<&PathBuf>, fd: Option<u32>) -> Self {
        match (file, fd) {
            (Some(path), _) => Self::File(path.clone()),
            (None, Some(fd)) => Self::Fd(fd),
            (None, None) => Self::Ask,
        }
    }

    /// Gets a secret that exists, such as `PIN for token "work"`.
    ///
    /// # Errors
    ///
    /// If the source cannot be read, or is a file that others can read, or
    /// there is nobody to ask, or the person declined.
    pub(crate) fn read(&self, what: &str) -> Result<Secret> {
        match self {
            Self::File(path) => input::from_file(path),
            Self::Fd(fd) => input::from_fd(*fd),
            Self::Ask => ask(what, Asker::find(what)?),
        }
    }

    /// Gets a secret that exists and that `accept` understands; a person may try three times.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read), and what `accept` says.
    pub(crate) fn read_as<T>(
        &self,
        what: &str,
        accept: impl Fn(&[u8]) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        self.attempts(|| accept(&self.read(what)?))
    }

    /// Gets a secret that is being chosen: a person hears the rule and has to give it twice, and
    /// may try three times.
    ///
    /// # Errors
    ///
    /// As [`read_as`](Self::read_as), and if the two are not the same.
    pub(crate) fn read_new_as<T>(
        &self,
        what: &str,
        rule: &str,
        accept: impl Fn(&[u8]) -> anyhow::Result<T>,
    ) -> anyhow::Result<T> {
        let Self::Ask = self else {
            return accept(&self.read(what)?);
        };
        let asker = Asker::find(what)?;
        tell(rule);
        self.attempts(|| {
            let first = ask(what, asker.clone())?;
            // Before the second entry.
            let accepted = accept(&first)?;
            let second = ask(&format!("{what}, again"), asker.clone())?;
            if first == second {
                Ok(accepted)
            } else {
                Err(Error::SecretsDiffer.into())
            }
        })
    }

    /// Asks a person again after an answer that cannot be used; a file is read once.
    fn attempts<T>(&self, attempt: impl Fn() -> anyhow::Result<T>) -> anyhow::Result<T> {
        let more = if matches!(self, Self::Ask) {
            ATTEMPTS - 1
        } else {
            0
        };
        for _ in 0..more {
            match attempt() {
                Err(err) if is_a_slip(&err) => {
                    tell(&format!("tpmssh: {}; try again", error_line(&err)));
                }
                done => return done,
            }
        }
        attempt()
    }
}

/// How often a person is asked.
const ATTEMPTS: usize = 3;

/// Whether the answer was only mistyped, so that the person can try again.
fn is_a_slip(err: &anyhow::Error) -> bool {
    matches!(
        err.downcast_ref(),
        Some(
            Error::SecretsDiffer
                | Error::EmptyPassword
                | Error::NotImported {
                    why: NotImported::Passphrase,
                    ..
                }
        )
    ) || matches!(
        err.downcast_ref(),
        Some(token_store::Error::PinMalformed(_))
    )
}

/// The way to reach a person.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Asker {
    Terminal,
    Program(PathBuf),
}

impl Asker {
    /// Chooses as OpenSSH does (ssh-add(1), `SSH_ASKPASS_REQUIRE`).
    fn find(what: &str) -> Result<Self> {
        let program = env::var_os("SSH_ASKPASS").filter(|program| !program.is_empty());
        let require = env::var("SSH_ASKPASS_REQUIRE").ok();
        Self::choose(
            program.map(PathBuf::from),
            require.as_deref(),
            Terminal::is_there,
        )
        .ok_or_else(|| Error::NobodyToAsk { what: what.into() })
    }

    fn choose(
        program: Option<PathBuf>,
        require: Option<&str>,
        terminal: impl FnOnce() -> bool,
    ) -> Option<Self> {
        let program = program.map(Self::Program);
        match require {
            Some("force" | "prefer") if program.is_some() => program,
            Some("force") => None,
            _ if terminal() => Some(Self::Terminal),
            Some("never") => None,
            _ => program,
        }
    }
}

fn ask(what: &str, asker: Asker) -> Result<Secret> {
    // `what` stands in the middle of error messages, and here it comes first.
    let mut prompt = format!("{what}: ");
    if let Some(first) = prompt.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    match asker {
        Asker::Terminal => Terminal::open()?.ask_hidden(&prompt),
        Asker::Program(program) => askpass::ask(&program, &prompt),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_terminal_comes_before_the_program_unless_that_is_wanted() {
        let program = || Some(PathBuf::from("/bin/askpass"));
        let asks_program = Some(Asker::Program("/bin/askpass".into()));
        let asks_terminal = Some(Asker::Terminal);
        for (program, require, terminal, expected) in [
            (program(), None, true, &asks_terminal),
            (program(), None, false, &asks_program),
            (program(), Some("force"), true, &asks_program),
            (program(), Some("prefer"), true, &asks_program),
            (program(), Some("never"), true, &asks_terminal),
            (program(), Some("never"), false, &None),
            (None, Some("force"), true, &None),
            (None, Some("prefer"), true, &asks_terminal),
            (None, None, true, &asks_terminal),
            (None, None, false, &None),
        ] {
            let chosen = Asker::choose(program.clone(), require, || terminal);
            assert_eq!(&chosen, expected, "{program:?} {require:?} {terminal}");
        }
    }
}
