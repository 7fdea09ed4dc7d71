//! Any program that listens on a port.

use std::{
    ffi::OsStr,
    fs::{self, File},
    net::{Ipv4Addr, TcpStream},
    path::PathBuf,
    process::Command,
};

use crate::{
    Home,
    port::Ports,
    process::{Daemon, command},
    wait::poll,
};

/// A program that listens on a loopback port of its own, such as `openssl s_server`.
///
/// It runs in the environment of a [`Home`], where its log is, so that home must outlive it. It
/// must ask for `SO_REUSEADDR`, as servers do. Dropping it asks the program to end, so that it ends
/// its own children, and waits until it has.
#[derive(Debug)]
pub struct Server {
    process: Option<Daemon>,
    ports: Ports,
    log: PathBuf,
}

impl Server {
    /// Starts `program` with the `arguments` for a port, and waits until it accepts a connection,
    /// which is closed at once.
    ///
    /// # Panics
    ///
    /// If the program cannot be started or ends before it listens.
    #[must_use]
    pub fn start(
        home: &Home,
        program: impl AsRef<OsStr>,
        arguments: impl FnOnce(&mut Command, u16),
    ) -> Self {
        let program = program.as_ref();
        let ports = Ports::reserve(1);
        let port = ports.first();
        let log = home.path().join(format!("server-{port}.log"));
        let file = File::create(&log).expect("a temporary home is writable");
        let mut server = command(program);
        home.confine(&mut server);
        server.stdout(file.try_clone().expect("a file can be shared"));
        server.stderr(file);
        arguments(&mut server, port);
        let mut process = Daemon::spawn("the server", server);
        let up = poll(|| match process.ended() {
            Some(_) => Some(false),
            None => TcpStream::connect((Ipv4Addr::LOCALHOST, port))
                .is_ok()
                .then_some(true),
        });
        if up != Some(true) {
            let log = fs::read_to_string(log).unwrap_or_default();
            panic!("{} does not come up: {log}", program.display());
        }
        Self {
            process: Some(process),
            ports,
            log,
        }
    }

    /// The port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.ports.first()
    }

    /// The output of the program so far.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(process) = self.process.take() {
            process.terminate();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[should_panic(expected = "sh does not come up: no reason")]
    fn a_server_that_ends_is_not_waited_for() {
        let home = Home::new();
        let _server = Server::start(&home, "sh", |command, _| {
            command.args(["-c", "echo no reason; exit 1"]);
        });
    }
}
