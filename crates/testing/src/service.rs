//! A program that listens at a Unix socket.

use std::{
    ffi::OsString,
    fs,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Stdio},
};

use rustix::process::Signal;

use crate::{process::Daemon, wait::poll};

/// A running program whose clients find it at a Unix socket.
#[derive(Debug)]
pub struct Service {
    process: Daemon,
    socket: PathBuf,
    log: PathBuf,
}

impl Service {
    /// Starts `command` and waits until it accepts a client at `socket`. Its output goes to the
    /// file `socket` with `.log` added.
    ///
    /// # Panics
    ///
    /// If it does not start.
    #[must_use]
    pub fn start(name: &'static str, command: Command, socket: &Path) -> Self {
        let mut service = Self::spawn(name, command, socket);
        let up = poll(|| match service.process.ended() {
            Some(_) => Some(false),
            None => UnixStream::connect(socket).is_ok().then_some(true),
        });
        assert_eq!(up, Some(true), "{name} does not come up: {}", service.log());
        service
    }

    /// The same with `stdin` for the program, such as a listening socket.
    ///
    /// # Panics
    ///
    /// If it cannot be started.
    #[must_use]
    pub fn with_stdin(
        name: &'static str,
        mut command: Command,
        socket: &Path,
        stdin: impl Into<Stdio>,
    ) -> Self {
        command.stdin(stdin);
        Self::spawn(name, command, socket)
    }

    fn spawn(name: &'static str, mut command: Command, socket: &Path) -> Self {
        let mut log = socket.as_os_str().to_owned();
        log.push(".log");
        let file = fs::File::create(&log).expect("the directory of the socket is writable");
        let copy = file.try_clone().expect("a descriptor can be copied");
        command.stdout(copy).stderr(file);
        Self {
            process: Daemon::spawn(name, command),
            socket: socket.to_owned(),
            log: log.into(),
        }
    }

    /// The socket.
    #[must_use]
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// `SSH_AUTH_SOCK`, the variable by which clients of an agent find it.
    #[must_use]
    pub fn env(&self) -> Vec<(OsString, OsString)> {
        vec![("SSH_AUTH_SOCK".into(), self.socket.clone().into_os_string())]
    }

    /// The process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Its output so far.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Sends it a signal.
    ///
    /// # Panics
    ///
    /// If it has been waited for already.
    pub fn signal(&self, signal: Signal) {
        self.process.signal(signal);
    }

    /// Its exit status, if it has ended.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.process.ended()
    }

    /// Waits for its end.
    ///
    /// # Panics
    ///
    /// If it does not end within half a minute.
    pub fn wait(&mut self) -> ExitStatus {
        poll(|| self.process.ended()).expect("the program ends")
    }
}
