//! Secrets from the program in `SSH_ASKPASS`.

use std::path::Path;
use std::process::Stdio;

use super::{Secret, input};
use crate::fail::error::{Error, Result};

/// Runs `program` with the prompt as its only argument, as OpenSSH does, and
/// takes the first line that it writes.
///
/// # Errors
///
/// If it cannot be started, writes no line, or does not exit with 0, which is
/// how it says that the person declined.
pub(super) fn ask(program: &Path, prompt: &str) -> Result<Secret> {
    let failed = |source| Error::Askpass {
        program: program.into(),
        source,
    };
    let mut child = agent::broker::own_session(program)
        .arg(prompt)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(failed)?;
    // Taken, so that the pipe is closed before waiting: a program that writes
    // on and on then ends, too.
    let answer = match child.stdout.take() {
        Some(stdout) => input::first_line(stdout, &program.display().to_string()),
        None => Err(Error::Declined),
    };
    let status = child.wait().map_err(failed)?;
    match answer {
        Err(Error::NothingRead { .. }) => Err(Error::Declined),
        Ok(_) if !status.success() => Err(Error::Declined),
        answer => answer,
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::process::Command;

    use testing::assert_matches;

    use super::*;

    /// Another process writes the file: were it open here while another test
    /// starts a child, it could not be executed ("text file busy").
    fn write_program(path: &Path, text: &str) {
        let mut install = Command::new("install")
            .args(["-m", "700", "/dev/stdin"])
            .arg(path)
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = install.stdin.take().unwrap();
        stdin.write_all(text.as_bytes()).unwrap();
        drop(stdin);
        assert!(install.wait().unwrap().success());
    }

    fn run(script: &str) -> Result<Secret> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("askpass");
        write_program(&path, &format!("#!/bin/sh\n{script}\n"));
        ask(&path, "PIN for token \"work\": ")
    }

    #[test]
    fn the_program_gets_the_prompt_and_its_line_is_the_answer() {
        let answer = run(r#"[ $# = 1 ] && printf '%s\n' "<$1>""#).unwrap();
        assert_eq!(answer.as_slice(), b"<PIN for token \"work\": >");
    }

    #[test]
    fn a_program_that_fails_or_says_nothing_means_no() {
        for script in ["exit 1", "echo 1234; exit 1", "true", "kill -9 $$"] {
            let err = run(script).unwrap_err();
            assert_matches!(err, Error::Declined, "{script}: {err}");
        }
    }

    #[test]
    fn a_program_that_writes_without_end_is_not_read_without_end() {
        let err = run("exec tr '\\0' x </dev/zero").unwrap_err();
        assert_matches!(err, Error::TooMuchRead { .. });
    }

    #[test]
    fn a_program_that_is_not_there_is_named() {
        let err = ask(Path::new("/nonexistent/askpass"), "PIN: ").unwrap_err();
        assert_eq!(
            err.to_string(),
            "cannot run the askpass program /nonexistent/askpass"
        );
    }
}
