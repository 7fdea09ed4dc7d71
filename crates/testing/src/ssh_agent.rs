//! OpenSSH's agent, on a private socket.

use std::{
    ffi::OsString,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::Stdio,
};

use crate::{Home, process::Daemon, wait::poll};

/// An `ssh-agent` that may load one PKCS#11 module.
///
/// It runs in the environment of a [`Home`], which its helper process inherits, and that home must
/// outlive it. It is set-group-id, so it gets no "parent died" signal: it stays if the test is
/// killed.
#[derive(Debug)]
pub struct SshAgent {
    process: Daemon,
    socket: PathBuf,
}

impl SshAgent {
    /// Starts an agent that accepts `ssh-add -s` for paths that match `provider`, and waits
    /// until it answers.
    ///
    /// `env` is added to the environment of `home`, such as [`Abrmd::env`](crate::Abrmd::env).
    ///
    /// # Panics
    ///
    /// If `ssh-agent` is not installed or does not start.
    #[must_use]
    pub fn start(home: &Home, provider: &str, env: &[(OsString, OsString)]) -> Self {
        Self::start_at(home, "agent", provider, env)
    }

    /// The same at a socket of another `name`, for a home with several agents.
    ///
    /// # Panics
    ///
    /// As [`start`](Self::start).
    #[must_use]
    pub fn start_at(home: &Home, name: &str, provider: &str, env: &[(OsString, OsString)]) -> Self {
        // Unix socket paths are short (108 bytes), so the directory is not nested further.
        let socket = home.path().join(format!("{name}.sock"));
        let _ = std::fs::remove_file(&socket);
        let mut agent = home.command("ssh-agent");
        agent
            .arg("-D")
            .arg("-a")
            .arg(&socket)
            .args(["-P", provider])
            .envs(env.iter().map(|(name, value)| (name, value)))
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let mut process = Daemon::spawn("ssh-agent", agent);
        let up = poll(|| match process.ended() {
            Some(_) => Some(false),
            None => UnixStream::connect(&socket).is_ok().then_some(true),
        });
        assert_eq!(up, Some(true), "ssh-agent does not come up");
        Self { process, socket }
    }

    /// The variable by which clients find it: `SSH_AUTH_SOCK`.
    #[must_use]
    pub fn env(&self) -> Vec<(OsString, OsString)> {
        vec![("SSH_AUTH_SOCK".into(), self.socket.clone().into_os_string())]
    }

    /// Its socket.
    #[must_use]
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// The process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.id()
    }
}
