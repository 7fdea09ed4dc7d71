//! A machine for the commands of a page: namespaces in which a shell runs on a terminal, with a
//! simulated TPM and an SSH server of its own; and the person who answers its questions.

use std::path::{Path, PathBuf};
use std::process::Command;

use testing::module;

use crate::agent::served::eventually;
use crate::terminal::Session;

/// What the shell prints before each command; nothing else prints it.
const PROMPT: &str = "\u{2}ready ";
const END: char = '\u{3}';

/// Ends of questions, and the answers that the person types while the terminal hides typing. The
/// first match counts. Some programs hide typing only after they have shown the question, and
/// discard what was typed before.
const SECRETS: &[(&str, &str)] = &[
    ("again: ", "correct horse"),
    ("Recovery code (SO PIN) for token \"ssh\": ", RECOVERY_CODE),
    ("PIN for token \"ssh\": ", "correct horse"),
    ("PIN for token \"ca\": ", "correct horse"),
    ("Enter PIN for 'ssh': ", "correct horse"),
    ("Enter passphrase for PKCS#11: ", "correct horse"),
    ("Enter Password or Pin for \"ssh\":", "correct horse"),
    ("Please enter User PIN: ", "correct horse"),
    ("Smartcard PIN: ", "correct horse"),
    ("'s password: ", "old password"),
];

/// The same for questions at which typing is shown.
const ANSWERS: &[(&str, &str)] = &[
    ("(yes/no/[fingerprint])? ", "yes"),
    ("[y/N] ", "y"),
    ("[Y/n] ", "y"),
];

/// Stands for the recovery code that was shown first.
const RECOVERY_CODE: &str = "(the recovery code)";

/// What a command printed to the terminal, and its exit code.
#[derive(Debug)]
pub(crate) struct Shown {
    pub(crate) code: i32,
    pub(crate) text: String,
}

pub(crate) struct Machine {
    shell: Session,
    recovery_code: Option<String>,
    _scratch: tempfile::TempDir,
}

impl Machine {
    /// Starts one. `None` if the kernel allows no namespaces, which in CI is a failure.
    pub(crate) fn start() -> Option<Self> {
        let is_root = rustix::process::getuid().is_root();
        let mut namespaces = vec!["--mount", "--net", "--pid", "--fork", "--kill-child"];
        if !is_root {
            namespaces.push("--map-root-user");
        }
        let allowed = Command::new("unshare")
            .args(&namespaces)
            .arg("true")
            .output()
            .unwrap();
        if !allowed.status.success() {
            assert!(
                std::env::var_os("CI").is_none(),
                "no namespaces: {allowed:?}"
            );
            eprintln!("skipped: no namespaces without privileges: {allowed:?}");
            return None;
        }
        let scratch = tempfile::tempdir().unwrap();
        let mut command = Command::new("setsid");
        command
            .arg("--ctty")
            .arg("unshare")
            .args(&namespaces)
            .args([
                "bash",
                concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/guide/machine.sh"),
            ])
            .arg(env!("CARGO_BIN_EXE_tpmssh"))
            .arg(module())
            .arg(scratch.path())
            .arg(authority())
            .env("TERM", "xterm")
            .env("GUIDE_PROMPT", format!("{PROMPT}$?{END}"));
        let mut machine = Self {
            shell: Session::spawn(command),
            recovery_code: None,
            _scratch: scratch,
        };
        machine.read_to_prompt();
        Some(machine)
    }

    /// Types a command, answers what it asks, and waits for its end.
    pub(crate) fn run(&mut self, command: &str) -> Shown {
        self.shell.type_in(&format!("{command}\n"));
        self.read_to_prompt()
    }

    fn read_to_prompt(&mut self) -> Shown {
        let mut answered = 0;
        loop {
            let seen = self.shell.seen();
            if let Some(at) = seen.find(PROMPT)
                && let Some(end) = seen[at..].find(END)
            {
                let code = seen[at + PROMPT.len()..at + end].parse().unwrap();
                let text = plain(&seen[..at]);
                let shown = text
                    .lines()
                    .find_map(|line| line.strip_prefix("Recovery code (SO PIN): "));
                if self.recovery_code.is_none() {
                    self.recovery_code = shown.map(|code| code.trim().to_owned());
                }
                self.shell.forget();
                return Shown { code, text };
            }
            let asked = |all: &'static [(&str, &str)]| {
                let is_asked = |question: &str| seen.len() > answered && seen.ends_with(question);
                all.iter().find(|(question, _)| is_asked(question))
            };
            let secret = asked(SECRETS);
            if let Some((_, answer)) = secret.or_else(|| asked(ANSWERS)) {
                answered = seen.len();
                if secret.is_some() {
                    eventually(|| !self.shell.echoes());
                }
                let answer = match (*answer, &self.recovery_code) {
                    (RECOVERY_CODE, Some(code)) => code,
                    (answer, _) => answer,
                };
                self.shell.type_in(&format!("{answer}\n"));
            }
            self.shell.read_more();
        }
    }
}

/// `tpmssh-ca`, which cargo puts beside `tpmssh`.
fn authority() -> PathBuf {
    let path = Path::new(env!("CARGO_BIN_EXE_tpmssh")).with_file_name("tpmssh-ca");
    assert!(path.is_file(), "no {path:?}: cargo build -p ca-server");
    path
}

/// The text without the control sequences that colour it.
fn plain(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("\u{1b}[") {
        out.push_str(&rest[..at]);
        let end = rest[at + 2..]
            .find(|c: char| c.is_ascii_alphabetic())
            .map_or(rest.len(), |end| at + 2 + end + 1);
        rest = &rest[end..];
    }
    out + rest
}
