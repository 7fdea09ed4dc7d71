//! Programs that answer on their standard output.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Stdio;

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};
use zeroize::Zeroizing;

use super::{NoAnswer, Secret};

/// More than any PIN has.
const MAX_LEN: usize = 1024;

/// Starts `program`, which dies with the value that is returned.
pub(super) fn start(
    program: &Path,
    arguments: &[&str],
    env: &[(&str, &str)],
    stdin: Stdio,
) -> Result<Child, NoAnswer> {
    Command::from(own_session(program))
        .args(arguments)
        .envs(env.iter().copied())
        .stdin(stdin)
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|source| NoAnswer::Program {
            program: program.into(),
            source,
        })
}

/// A command that runs `program` in a session of its own.
///
/// A program in the background that reads the terminal is stopped, and everything of its process
/// group with it: the agent that a shell started with `&`, for one. In a session of its own it may
/// read a terminal that it is told of (`GPG_TTY`). `setsid` is of util-linux or busybox; without it
/// the program has at least a process group of its own, and stops alone.
#[must_use]
pub fn own_session(program: &Path) -> std::process::Command {
    match super::find("setsid") {
        // setsid could not say that there is no such program.
        Some(setsid) if program.is_file() => {
            let mut command = std::process::Command::new(setsid);
            command.arg(program);
            command
        }
        _ => {
            let mut command = std::process::Command::new(program);
            command.process_group(0);
            command
        }
    }
}

/// The first line that `program` writes, without its end; what follows is ignored.
///
/// # Errors
///
/// [`NoAnswer::Declined`] if it does not end with 0.
pub(super) async fn first_line(
    program: &Path,
    arguments: &[&str],
    env: &[(&str, &str)],
) -> Result<Secret, NoAnswer> {
    let mut child = start(program, arguments, env, Stdio::null())?;
    let Some(mut stdout) = child.stdout.take() else {
        return Err(NoAnswer::Declined);
    };
    let mut answer = read_all(&mut stdout).await?;
    drop(stdout);
    let status = child.wait().await;
    if !status.is_ok_and(|status| status.success()) {
        return Err(NoAnswer::Declined);
    }
    let end = answer.iter().position(|&byte| byte == b'\n');
    if let Some(end) = end {
        answer.truncate(end);
    }
    Ok(answer)
}

/// Reads to the end, into memory that is reserved beforehand: growing would leave copies.
async fn read_all(from: &mut (impl AsyncRead + Unpin)) -> Result<Secret, NoAnswer> {
    let mut answer = Zeroizing::new(Vec::with_capacity(MAX_LEN));
    let mut chunk = Zeroizing::new([0; 256]);
    loop {
        let len = from
            .read(&mut *chunk)
            .await
            .map_err(|_| NoAnswer::Declined)?;
        if len == 0 {
            return Ok(answer);
        }
        if answer.len() + len > MAX_LEN {
            return Err(NoAnswer::TooLong);
        }
        answer.extend_from_slice(&chunk[..len]);
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::io::Write;
    use std::path::PathBuf;
    use std::process::{Command, Stdio};

    /// Another process writes the file: were it open here while another test starts a
    /// child, it could not be executed ("text file busy").
    pub(crate) fn program(dir: &tempfile::TempDir, script: &str) -> PathBuf {
        let path = dir.path().join("program");
        let mut install = Command::new("install")
            .args(["-m", "700", "/dev/stdin"])
            .arg(&path)
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = install.stdin.take().unwrap();
        write!(stdin, "#!/bin/sh\n{script}\n").unwrap();
        drop(stdin);
        assert!(install.wait().unwrap().success());
        path
    }
}
