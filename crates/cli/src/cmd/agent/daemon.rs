//! `tpmssh agent --daemon`: the agent in the background, as `ssh-agent` starts.

use std::env;
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use agent::client::Client;
use anyhow::Context;
use rustix::io::Errno;

use super::shell::Shell;
use crate::fail::error::Error;
use crate::machine::ssh_agent::DETACHED;
use crate::show::output;

/// How long the agent may take until it listens.
const PATIENCE: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(20);

/// Starts an agent with `options` in a session of its own, waits until it listens at `socket`, and
/// prints the lines for the shell. If an agent listens there already, starts none and prints the line that finds it.
///
/// # Errors
///
/// [`Error::NotStarted`] with what the agent said, [`agent::Error::Foreign`].
pub(super) fn start(socket: &Path, shell: Shell, options: &[String]) -> anyhow::Result<()> {
    match Client::connect(socket) {
        Ok(_) => return tell_shell(shell, socket, None),
        Err(agent::Error::NotRunning { .. }) => {}
        Err(err) => return Err(err.into()),
    }
    agent::harden::files()?;
    let program = env::current_exe().context("cannot find this program")?;
    let mut said = tempfile::tempfile().context("cannot make a temporary file")?;
    let mut child = Command::new(program)
        .args(["agent", DETACHED, "--socket"])
        .arg(socket)
        .args(options)
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(said.try_clone()?)
        .spawn()
        .context("cannot start the agent")?;
    if let Some(status) = wait(&mut child, socket)? {
        return Err(not_started(&mut said, status).into());
    }
    tell_shell(shell, socket, Some(child.id()))
}

/// Leaves the session of the terminal, so that its signals (Ctrl-C, hangup) do not reach the agent.
///
/// # Errors
///
/// That of the system.
pub(super) fn detach() -> anyhow::Result<()> {
    match rustix::process::setsid() {
        // It leads a session already.
        Err(Errno::PERM) | Ok(_) => Ok(()),
        Err(err) => Err(err).context("cannot leave the terminal's session"),
    }
}

/// `/dev/null`, for stderr once the agent answers. Opened before the agent gives up the right to open
/// files.
///
/// # Errors
///
/// That of the system.
pub(super) fn silence() -> anyhow::Result<File> {
    let null = OpenOptions::new().write(true).open("/dev/null");
    null.context("cannot open /dev/null")
}

/// Redirects stderr. The program that started this one reads it only until the agent answers.
pub(super) fn fall_silent(silence: &File) {
    if let Err(err) = rustix::stdio::dup2_stderr(silence) {
        log::warn!("stderr stays open: {err}");
    }
}

/// Waits until the agent answers, not only until the socket accepts connections, which is earlier.
/// Returns the exit status if the agent has ended.
fn wait(child: &mut Child, socket: &Path) -> anyhow::Result<Option<ExitStatus>> {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        let answers = Client::connect(socket).and_then(|mut client| client.status());
        if answers.is_ok() {
            return Ok(None);
        }
        if Instant::now() > end {
            child.kill()?;
            return Ok(Some(child.wait()?));
        }
        thread::sleep(PAUSE);
    }
}

fn not_started(said: &mut File, status: ExitStatus) -> Error {
    let mut text = String::new();
    // If the output cannot be read, the exit status alone is shown.
    let read = said
        .seek(SeekFrom::Start(0))
        .and_then(|_| said.read_to_string(&mut text));
    let lines = || text.lines().map(str::trim).filter(|line| !line.is_empty());
    // Notices come before the error.
    let why = lines()
        .filter_map(|line| line.strip_prefix("tpmssh: "))
        .next_back()
        .filter(|_| read.is_ok());
    Error::NotStarted {
        why: why.map_or_else(|| status.to_string(), str::to_owned),
        hint: lines()
            .find_map(|line| line.strip_prefix("hint: "))
            .map(str::to_owned),
    }
}

/// As `ssh-agent` prints it.
fn tell_shell(shell: Shell, socket: &Path, pid: Option<u32>) -> anyhow::Result<()> {
    let mut text = shell.export("SSH_AUTH_SOCK", socket);
    if let Some(pid) = pid {
        text += &shell.export("SSH_AGENT_PID", Path::new(&pid.to_string()));
        text += &format!("echo Agent pid {pid};\n");
    }
    Ok(output::write(&text)?)
}
