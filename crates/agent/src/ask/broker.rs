//! Asking a person: for a PIN, or for a yes.
//!
//! The agent has no terminal. It runs a program that can reach the person; other clients do not
//! wait meanwhile. Without such a program the request fails: the PIN is never taken to be empty.

mod child;
mod pinentry;

use std::env;
use std::path::{Path, PathBuf};
use std::time::Duration;

use zeroize::Zeroizing;

pub use child::own_session;

/// The bytes of a PIN, wiped when dropped.
pub type Secret = Zeroizing<Vec<u8>>;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NoAnswer {
    /// There is no program to ask with.
    #[error("no way to ask: run tpmssh unlock, or start the agent with SSH_ASKPASS or GPG_TTY set")]
    NoWay,
    /// The person said no, or the program failed.
    #[error("it was declined")]
    Declined,
    /// Nobody answered in time.
    #[error("nobody answered in time")]
    Timeout,
    /// The answer is longer than any PIN.
    #[error("the answer was too long")]
    TooLong,
    /// The program could not be run.
    #[error("cannot run {}", program.display())]
    Program {
        /// The program.
        program: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

/// A program that reaches a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Way {
    /// One for `SSH_ASKPASS`, called as OpenSSH calls it.
    Askpass(PathBuf),
    /// One that speaks the Assuan protocol, such as GnuPG's `pinentry`.
    Pinentry(PathBuf),
    /// `systemd-ask-password`, for services.
    Systemd(PathBuf),
}

impl Way {
    /// The way that the environment offers.
    #[must_use]
    pub fn from_environment() -> Option<Self> {
        let is_root = rustix::process::geteuid().is_root();
        Self::choose(
            |name| env::var(name).ok().filter(|value| !value.is_empty()),
            is_root,
            find,
        )
    }

    /// As OpenSSH chooses (`SSH_ASKPASS_REQUIRE` of ssh(1)) for a program without a terminal;
    /// then `pinentry` if it can show itself, then systemd for root.
    fn choose(
        var: impl Fn(&str) -> Option<String>,
        is_root: bool,
        find: impl Fn(&str) -> Option<PathBuf>,
    ) -> Option<Self> {
        let display = var("WAYLAND_DISPLAY").or_else(|| var("DISPLAY")).is_some();
        let require = var("SSH_ASKPASS_REQUIRE");
        let askpass = match require.as_deref() {
            Some("never") => None,
            Some("force") => var("SSH_ASKPASS"),
            _ => var("SSH_ASKPASS").filter(|_| display),
        };
        if let Some(program) = askpass {
            return Some(Self::Askpass(program.into()));
        }
        if (display || var("GPG_TTY").is_some())
            && let Some(program) = find("pinentry")
        {
            return Some(Self::Pinentry(program));
        }
        let systemd = is_root.then(|| find("systemd-ask-password")).flatten();
        systemd.map(Self::Systemd)
    }
}

/// Asks by one program, and waits a limited time for the answer.
#[derive(Debug, Clone)]
pub struct Broker {
    way: Option<Way>,
    patience: Duration,
}

impl Broker {
    /// A broker that asks in this way, and waits for an answer for `patience`.
    #[must_use]
    pub fn new(way: Option<Way>, patience: Duration) -> Self {
        Self { way, patience }
    }

    /// Asks for a PIN. `text` says whose it is and what for.
    ///
    /// # Errors
    ///
    /// [`NoAnswer`]; an empty answer is a no.
    pub async fn pin(&self, text: &str) -> Result<Secret, NoAnswer> {
        let answer = match self.way()? {
            Way::Askpass(program) => self.run(program, &[&format!("{text}\nPIN: ")], &[]).await?,
            Way::Pinentry(program) => self.limit(pinentry::pin(program, text)).await?,
            Way::Systemd(program) => {
                let question = one_line(&format!("{text} PIN:"));
                self.run(program, &["--no-tty", "--timeout=0", &question], &[])
                    .await?
            }
        };
        if answer.is_empty() {
            return Err(NoAnswer::Declined);
        }
        Ok(answer)
    }

    /// Asks for a yes.
    ///
    /// # Errors
    ///
    /// [`NoAnswer`]; anything but a yes is a no.
    pub async fn confirm(&self, text: &str) -> Result<(), NoAnswer> {
        let yes = match self.way()? {
            // As in OpenSSH: the exit code is the answer, and a printed word must be "yes".
            Way::Askpass(program) => {
                let prompt = [("SSH_ASKPASS_PROMPT", "confirm")];
                let answer = self.run(program, &[text], &prompt).await?;
                answer.is_empty() || answer.eq_ignore_ascii_case(b"yes")
            }
            Way::Pinentry(program) => self.limit(pinentry::confirm(program, text)).await?,
            Way::Systemd(program) => {
                let question = one_line(&format!("{text} Type yes:"));
                let arguments = ["--no-tty", "--echo", "--timeout=0", &question];
                let answer = self.run(program, &arguments, &[]).await?;
                answer.eq_ignore_ascii_case(b"yes")
            }
        };
        if yes { Ok(()) } else { Err(NoAnswer::Declined) }
    }

    /// The way in which it asks.
    ///
    /// # Errors
    ///
    /// [`NoAnswer::NoWay`].
    pub fn way(&self) -> Result<&Way, NoAnswer> {
        self.way.as_ref().ok_or(NoAnswer::NoWay)
    }

    async fn run(
        &self,
        program: &Path,
        arguments: &[&str],
        env: &[(&str, &str)],
    ) -> Result<Secret, NoAnswer> {
        self.limit(child::first_line(program, arguments, env)).await
    }

    /// The program is killed when its time is over.
    async fn limit<T>(
        &self,
        answer: impl Future<Output = Result<T, NoAnswer>>,
    ) -> Result<T, NoAnswer> {
        tokio::time::timeout(self.patience, answer)
            .await
            .unwrap_or(Err(NoAnswer::Timeout))
    }
}

fn one_line(text: &str) -> String {
    text.lines().collect::<Vec<_>>().join(" ")
}

/// The program of this name in `PATH`.
fn find(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path)
        .map(|dir| dir.join(name))
        .find(|program| program.is_absolute() && program.is_file())
}

#[cfg(test)]
mod tests {
    use testing::assert_matches;

    use super::*;

    fn choose(vars: &[(&str, &str)], is_root: bool) -> Option<Way> {
        let var = |name: &str| {
            let found = vars.iter().find(|(n, _)| *n == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        Way::choose(var, is_root, |name| Some(PathBuf::from("/bin").join(name)))
    }

    #[test]
    fn the_environment_chooses_the_way() {
        let askpass = ("SSH_ASKPASS", "/bin/ask");
        let display = ("DISPLAY", ":0");
        let require = |word| ("SSH_ASKPASS_REQUIRE", word);
        let ask = Some(Way::Askpass("/bin/ask".into()));
        let pinentry = Some(Way::Pinentry("/bin/pinentry".into()));
        assert_eq!(choose(&[], false), None);
        assert_eq!(choose(&[askpass], false), None, "nothing to show it on");
        assert_eq!(choose(&[askpass, display], false), ask);
        assert_eq!(choose(&[askpass, require("force")], false), ask);
        assert_eq!(
            choose(&[askpass, display, require("never")], false),
            pinentry
        );
        assert_eq!(choose(&[display], false), pinentry);
        assert_eq!(choose(&[("GPG_TTY", "/dev/pts/1")], false), pinentry);
        let systemd = Some(Way::Systemd("/bin/systemd-ask-password".into()));
        assert_eq!(choose(&[], true), systemd);
    }

    #[tokio::test]
    async fn no_way_to_ask_is_a_failure() {
        let broker = Broker::new(None, Duration::from_secs(1));
        assert_matches!(broker.pin("?").await, Err(NoAnswer::NoWay));
        assert_matches!(broker.confirm("?").await, Err(NoAnswer::NoWay));
    }

    fn shell(dir: &tempfile::TempDir, script: &str) -> Broker {
        let program = child::tests::program(dir, script);
        Broker::new(Some(Way::Askpass(program)), Duration::from_secs(2))
    }

    #[tokio::test]
    async fn a_program_that_misbehaves_gives_no_answer() {
        for (script, expected) in [
            ("exit 1", "it was declined"),
            ("echo 1234; exit 1", "it was declined"),
            ("kill -9 $$", "it was declined"),
            ("true", "it was declined"),
            ("echo", "it was declined"),
            ("exec head -c 1048576 /dev/zero", "the answer was too long"),
            ("exec sleep 600", "nobody answered in time"),
        ] {
            let dir = tempfile::tempdir().unwrap();
            let err = shell(&dir, script).pin("?").await.unwrap_err();
            assert_eq!(err.to_string(), expected, "{script}");
        }
    }

    #[tokio::test]
    async fn a_pin_comes_from_the_first_line() {
        let dir = tempfile::tempdir().unwrap();
        let broker = shell(
            &dir,
            r#"[ "$SSH_ASKPASS_PROMPT" = "" ] && printf '%s\nx\n' "$1" | tail -n 2"#,
        );
        assert_eq!(broker.pin("whose?").await.unwrap().as_slice(), b"PIN: ");
    }

    #[tokio::test]
    async fn only_a_yes_is_a_yes() {
        for (script, yes) in [
            ("exit 0", true),
            ("echo", true),
            ("echo YES", true),
            ("echo no", false),
            ("echo 1234", false),
            ("exit 1", false),
            (r#"[ "$SSH_ASKPASS_PROMPT" = confirm ]"#, true),
        ] {
            let dir = tempfile::tempdir().unwrap();
            let answer = shell(&dir, script).confirm("?").await;
            assert_eq!(answer.is_ok(), yes, "{script}");
        }
    }
}
