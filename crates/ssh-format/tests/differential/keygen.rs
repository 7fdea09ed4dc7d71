//! The real `ssh-keygen`, with whose verdicts ours are compared.

use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

/// A directory of its own, and `ssh-keygen` in it.
pub(crate) struct Keygen {
    dir: tempfile::TempDir,
}

impl Keygen {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self { dir }
    }

    /// Writes a file there.
    pub(crate) fn write(&self, name: &str, contents: &[u8]) -> PathBuf {
        let path = self.dir.path().join(name);
        fs::write(&path, contents).unwrap();
        path
    }

    pub(crate) fn run<S: AsRef<OsStr>>(&self, args: &[S], input: &[u8]) -> Output {
        let mut child = Command::new("ssh-keygen")
            .args(args)
            .current_dir(self.dir.path())
            .env("LC_ALL", "C")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("ssh-keygen is installed");
        // A refusal may come before the message has been read.
        let _ = child.stdin.take().unwrap().write_all(input);
        child.wait_with_output().unwrap()
    }

    /// Runs it; returns its standard output, if it succeeds.
    pub(crate) fn prints(&self, args: &[String], input: &[u8]) -> Option<String> {
        let output = self.run(args, input);
        let shown = String::from_utf8_lossy(&output.stdout).into_owned();
        output.status.success().then_some(shown)
    }

    /// Whether it succeeds.
    pub(crate) fn accepts<S: AsRef<OsStr>>(&self, args: &[S], input: &[u8]) -> bool {
        self.run(args, input).status.success()
    }
}
