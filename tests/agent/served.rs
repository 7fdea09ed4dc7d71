//! A running `tpmssh agent`, and OpenSSH's programs as its clients.

use std::ffi::{OsStr, OsString};
use std::ops::Deref;
use std::path::PathBuf;
use std::process::{Command, ExitStatus};

pub(crate) use testing::eventually;
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
        let mut command = home.daemon(env!("CARGO_BIN_EXE_tpmssh"));
        command.arg("agent").args(args);
        // So that it does not use the system bus of the machine.
        command.env("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nonexistent");
        command.envs(env.iter().map(|(name, value)| (name, value)));
        let service = Service::start("tpmssh agent", command, &socket(home));
        Self { service, home }
    }

    /// Waits for its end.
    pub(crate) fn wait(mut self) -> ExitStatus {
        self.service.wait()
    }

    /// A program that uses this agent.
    pub(crate) fn client(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = self.home.command(program);
        command.envs(self.env());
        command
    }

    /// Runs `ssh-add` with an askpass program that says `sesame` to every question.
    pub(crate) fn add(&self, args: &[&str]) -> Outcome {
        let says = self.home.script("sesame", "#!/bin/sh\necho sesame\n");
        let mut add = self.client("ssh-add");
        add.env("SSH_ASKPASS", says)
            .env("SSH_ASKPASS_REQUIRE", "force");
        Outcome::of(add.args(args))
    }

    /// Runs `ssh-add`.
    pub(crate) fn ssh_add(&self, args: &[&str]) -> Outcome {
        Outcome::of(self.client("ssh-add").args(args))
    }
}

/// Where the agent of a home is, in a directory that exists.
pub(crate) fn socket(home: &Home) -> PathBuf {
    let socket = home.path().join("run/tpmssh/agent.sock");
    std::fs::create_dir_all(socket.parent().unwrap()).unwrap();
    socket
}

impl Deref for Served<'_> {
    type Target = Service;

    fn deref(&self) -> &Service {
        &self.service
    }
}
