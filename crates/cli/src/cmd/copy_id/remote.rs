//! One server, by way of `ssh`; and the agent that has the new key for the check.

use std::io::Write;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use agent::client::Client;
use anyhow::{Context, bail};
use ssh_format::AnyKey;
use tempfile::TempDir;
use token_store::Pin;
use tpm_core::Tcti;

use super::Args;
use crate::keys::signing::SigningKey;

/// Adds the line on its standard input, unless the key is there. `sh` runs it, whatever the login
/// shell is.
const ADD: &str = r#"exec sh -c 'cd && umask 077 && mkdir -p .ssh && read -r line && f=.ssh/authorized_keys && set -- $line && { grep -qF "$2" $f 2>/dev/null || { if [ -s $f ] && [ -n "$(tail -c 1 $f)" ]; then echo >>$f; fi; printf "%s\n" "$line" >>$f; }; }'"#;

/// Removes the lines with the key on its standard input, and prints how many there were. The new file
/// takes the place of the old one by a rename, where a link leads to, with its mode and owner: a full
/// disk or a lost connection leaves the old one. A file that would be empty stays.
const REMOVE: &str = r#"exec sh -c 'cd && umask 077 && read -r key && f=$(readlink -f .ssh/authorized_keys) || exit 1
n=$(grep -cF -- "$key" "$f"); [ "$n" -gt 0 ] 2>/dev/null || { echo 0; exit 0; }
new=$(mktemp "$f.XXXXXX") || exit 1
cp -p "$f" "$new" && { grep -vF -- "$key" "$f" >"$new"; [ $? -le 1 ]; } && [ -s "$new" ] && mv -f "$new" "$f" ||
{ rm -f "$new"; exit 1; }
echo "$n"'"#;

/// How long the agent keeps the PIN, whatever the configuration says. In this time a person types
/// the passwords of servers.
const UNLOCKED: Duration = Duration::from_secs(3600);
/// How long the agent may take to start.
const PATIENCE: Duration = Duration::from_secs(20);

/// An agent of this command alone, which has the new key, and files that name it.
pub(super) struct Login {
    dir: TempDir,
    agent: Child,
}

impl Login {
    /// Starts the agent and unlocks the key's token.
    ///
    /// # Errors
    ///
    /// If it does not start, or the PIN is wrong.
    pub(super) fn start(tcti: &Tcti, key: &SigningKey, pin: Option<&Pin>) -> anyhow::Result<Self> {
        let dir = tempfile::tempdir().context("cannot make a temporary directory")?;
        let socket = dir.path().join("agent.sock");
        std::fs::write(dir.path().join("key.pub"), format!("{}\n", key.line()))
            .context("cannot write a temporary file")?;
        let program = std::env::current_exe().context("cannot find this program")?;
        let agent = Command::new(program)
            .args(["agent", "--no-ask", "--tcti", &tcti.to_string(), "--socket"])
            .arg(&socket)
            .args(["--token", &key.token.serial])
            .env_remove("LISTEN_FDS")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .context("cannot start the agent")?;
        let login = Self { dir, agent };
        let end = Instant::now() + PATIENCE;
        let mut client = loop {
            match Client::connect(&socket) {
                Ok(client) => break client,
                Err(err) if Instant::now() > end => return Err(err.into()),
                Err(_) => thread::sleep(Duration::from_millis(20)),
            }
        };
        if let Some(pin) = pin {
            client.unlock(&key.token.serial, pin.bytes(), Some(UNLOCKED))?;
        }
        Ok(login)
    }

    /// The options by which `ssh` logs in with the new key.
    fn options(&self) -> [String; 6] {
        let at = |name: &str| self.dir.path().join(name).display().to_string();
        [
            format!("IdentityAgent={}", at("agent.sock")),
            format!("IdentityFile={}", at("key.pub")),
            "IdentitiesOnly=yes".into(),
            "PreferredAuthentications=publickey".into(),
            "BatchMode=yes".into(),
            "ControlPath=none".into(),
        ]
    }
}

impl Drop for Login {
    fn drop(&mut self) {
        let _ = self.agent.kill();
        let _ = self.agent.wait();
    }
}

/// A server, and how `ssh` reaches it.
pub(super) struct Remote<'a> {
    pub(super) host: &'a str,
    pub(super) args: &'a Args,
}

impl Remote<'_> {
    fn ssh(&self) -> Command {
        let mut ssh = Command::new("ssh");
        if let Some(config) = &self.args.config {
            ssh.arg("-F").arg(config);
        }
        if let Some(port) = self.args.port {
            ssh.args(["-p", &port.to_string()]);
        }
        for option in &self.args.options {
            ssh.args(["-o", option]);
        }
        ssh
    }

    /// Adds the line of a public key by the login that works today.
    pub(super) fn add(&self, line: &str) -> anyhow::Result<()> {
        let mut ssh = self.ssh();
        if let Some(identity) = &self.args.identity {
            ssh.arg("-i").arg(identity);
        }
        self.feed(ssh, ADD, line).map(drop)
    }

    /// Logs in with the new key, and makes sure that it was this key.
    pub(super) fn check(&self, login: &Login, key: &SigningKey) -> anyhow::Result<()> {
        let mut ssh = self.with(login);
        let output = ssh
            .args(["-v", "--", self.host, "true"])
            .env("LC_ALL", "C")
            .stdin(Stdio::null())
            .output()
            .context("cannot run ssh")?;
        let said = String::from_utf8_lossy(&output.stderr);
        let accepted = said
            .lines()
            .rfind(|line| line.contains("Server accepts key: "));
        let fingerprint = &key.shown.fingerprint;
        if output.status.success() && accepted.is_some_and(|line| line.contains(fingerprint)) {
            return Ok(());
        }
        let why = said
            .lines()
            .map(str::trim)
            .rfind(|line| !line.is_empty() && !line.starts_with("debug"));
        bail!("{}", why.unwrap_or("another key logged in"))
    }

    /// Removes a public key, logged in with the new one. Returns how many lines had it.
    pub(super) fn remove(&self, login: &Login, old: &AnyKey) -> anyhow::Result<u32> {
        let line = old.line("");
        let blob = line.split_whitespace().nth(1).unwrap_or_default();
        let said = self.feed(self.with(login), REMOVE, blob)?;
        // The shell of the account may print something first.
        let count = said
            .lines()
            .next_back()
            .and_then(|line| line.trim().parse().ok());
        count.context("the server did not say whether the key is removed")
    }

    /// `ssh` with the new key: the first value of an option counts.
    fn with(&self, login: &Login) -> Command {
        let mut ssh = Command::new("ssh");
        for option in login.options() {
            ssh.args(["-o", &option]);
        }
        ssh.args(self.ssh().get_args());
        ssh
    }

    /// Runs a command on the server with a line as its input. Returns its output.
    fn feed(&self, mut ssh: Command, command: &str, line: &str) -> anyhow::Result<String> {
        let mut child = ssh
            .args(["--", self.host, command])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot run ssh")?;
        if let Some(mut stdin) = child.stdin.take() {
            // If ssh has ended, its exit code tells why.
            let _ = writeln!(stdin, "{line}");
        }
        let output = child.wait_with_output().context("cannot run ssh")?;
        match output.status.success() {
            true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
            false => bail!("ssh failed ({})", output.status),
        }
    }
}
