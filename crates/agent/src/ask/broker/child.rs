//! Programs that answer on their standard output.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Stdio;

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};
use zeroize::Zeroizing;

use super::{NoAnswer, Secret};

/// The longest answer, in bytes. No PIN is as long.
const MAX_LEN: usize = 1024;

/// Starts `program`. Dropping the returned value kills it.
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
/// The kernel stops a program in the background that reads the terminal, with its whole process
/// group: also the agent, if a shell started that with `&`. In a session of its own the program may
/// read the terminal that `GPG_TTY` names. `setsid` is part of util-linux and busybox. Without it the
/// program gets a process group of its own, so that only the program is stopped.
#[must_use]
pub fn own_session(program: &Path) -> std::process::Command {
    match super::find("setsid") {
        // If the program is missing, setsid would start and only then fail.
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

/// Reads to the end, into memory of the full size: growing it would leave copies that are not wiped.
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
