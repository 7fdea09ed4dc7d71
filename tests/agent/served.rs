//! A running `tpmssh agent`, and OpenSSH's programs as its clients.

use std::ffi::{OsStr, OsString};
use std::ops::Deref;
use std::process::Command;

use testing::{Home, Service};

use crate::program::{Outcome, Program};

/// An agent for the tokens of a [`Program`], at the usual place in its home.
pub(crate) struct Served<'a> {
    service: Service,
    home: &'a Home,
}

impl<'a> Served<'a> {
    /// Starts one that has no way to ask for a PIN.
    pub(crate) fn start(program: &'a Program) -> Self {
        Self::with(&program.home, &["--no-ask"], &[])
    }

    /// Starts one with these arguments and this environment.
    pub(crate) fn with(home: &'a Home, args: &[&str], env: &[(OsString, OsString)]) -> Self {
        let socket = home.path().join("run/tpmssh/agent.sock");
        std::fs::create_dir_all(socket.parent().unwrap()).unwrap();
        let mut command = home.daemon(env!("CARGO_BIN_EXE_tpmssh"));
        command.arg("agent").args(args);
        command.envs(env.iter().map(|(name, value)| (name, value)));
        let service = Service::start("tpmssh agent", command, &socket);
        Self { service, home }
    }

    /// A program that uses this agent.
    pub(crate) fn client(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = self.home.command(program);
        command.envs(self.env());
        command
    }

    /// Runs `ssh-add`.
    pub(crate) fn ssh_add(&self, args: &[&str]) -> Outcome {
        Outcome::of(self.client("ssh-add").args(args))
    }
}

impl Deref for Served<'_> {
    type Target = Service;

    fn deref(&self) -> &Service {
        &self.service
    }
}
