//! The environment of the demo: a home, a TPM, an SSH server, an agent.

use std::{ffi::OsString, path::PathBuf, process::Command};

use testing::{Home, SshAgent, Sshd, Swtpm};

use crate::artifacts::Artifacts;

/// The user PIN, the SO PIN, and a wrong PIN.
const PIN: &str = "correct horse";
const SO_PIN: &str = "battery staple";
const WRONG_PIN: &str = "incorrect horse";

/// The directory that sshd needs if it runs as root. The packaged service makes it.
const PRIVILEGE_SEPARATION: &str = "/run/sshd";

/// All processes and directories of the demo; dropping it ends and removes them.
pub(super) struct Stage {
    // Declared in the order in which they must be dropped: a process before its directory.
    pub(super) agent: SshAgent,
    pub(super) sshd: Sshd,
    pub(super) swtpm: Swtpm,
    /// Another machine's TPM.
    pub(super) other: Swtpm,
    pub(super) home: Home,
    _borrowed: Borrowed,
    artifacts: Artifacts,
}

/// The files of the PINs, below the home, in which all commands run.
pub(super) const PIN_FILE: &str = "pin";
pub(super) const SO_PIN_FILE: &str = "so-pin";
pub(super) const WRONG_PIN_FILE: &str = "wrong-pin";
/// A configuration of ssh that knows the server as `demo`, below the home.
pub(super) const SSH_CONFIG: &str = ".ssh/config";
/// The keys of authorities that the server trusts, below the home. None until the file is written.
pub(super) const TRUSTED_AUTHORITIES: &str = "trusted-authorities";

impl Stage {
    /// Starts the processes, and waits until they are ready.
    pub(super) fn set(artifacts: Artifacts) -> Self {
        let borrowed = Borrowed::note();
        let swtpm = Swtpm::start();
        let other = Swtpm::start();
        let home = Home::with_tcti(swtpm.tcti());
        let trusted = home.secret_file(TRUSTED_AUTHORITIES, "");
        let line = format!("TrustedUserCAKeys {}", trusted.display());
        let sshd = Sshd::with_config(&home, &line);
        let agent = SshAgent::start(&home, &artifacts.module.display().to_string(), &[]);
        home.secret_file(PIN_FILE, PIN);
        home.secret_file(SO_PIN_FILE, SO_PIN);
        home.secret_file(WRONG_PIN_FILE, WRONG_PIN);
        home.secret_file(SSH_CONFIG, &ssh_config(&sshd));
        Self {
            agent,
            sshd,
            swtpm,
            other,
            home,
            _borrowed: borrowed,
            artifacts,
        }
    }

    /// A `tpmssh` command.
    pub(super) fn tpmssh(&self, args: &[&str]) -> Command {
        let mut tpmssh = self.home.command("tpmssh");
        let mut path = self.artifacts.dir.clone().into_os_string();
        path.push(":/usr/bin:/bin");
        tpmssh.args(args).env("PATH", path);
        tpmssh
    }

    /// A `pkcs11-tool` command with our module.
    pub(super) fn pkcs11_tool(&self, args: &[&str]) -> Command {
        let mut tool = self.home.command("pkcs11-tool");
        tool.arg("--module").arg(&self.artifacts.module).args(args);
        tool
    }

    /// The path of the module, as an argument.
    pub(super) fn module(&self) -> &str {
        self.artifacts
            .module
            .to_str()
            .expect("cargo's paths here are text")
    }

    /// An `ssh` command that logs in to the server and runs `remote` there.
    pub(super) fn ssh(&self, args: &[&str], remote: &str) -> Command {
        let mut ssh = self.home.command("ssh");
        ssh.args(["-F", SSH_CONFIG])
            .args(args)
            .args(["demo", remote]);
        ssh
    }

    /// The same with our module and the PIN of a file.
    pub(super) fn ssh_with_module(&self, pin_file: &str, remote: &str) -> Command {
        let mut ssh = self.ssh(&["-I", self.module()], remote);
        ssh.envs(self.askpass(pin_file));
        ssh
    }

    /// The variables by which OpenSSH gets the PIN of a file.
    pub(super) fn askpass(&self, pin_file: &str) -> Vec<(OsString, OsString)> {
        self.home.askpass(&self.home.path().join(pin_file))
    }

    /// The files that must not exist after the end.
    pub(super) fn traces(&self) -> Vec<PathBuf> {
        let process = |pid: u32| PathBuf::from(format!("/proc/{pid}"));
        let mut traces = vec![
            self.home.path().to_owned(),
            self.swtpm.state_dir().to_owned(),
            self.other.state_dir().to_owned(),
            process(self.sshd.pid()),
            process(self.agent.pid()),
        ];
        traces.extend(
            [&self.swtpm, &self.other]
                .into_iter()
                .filter_map(Swtpm::pid)
                .map(process),
        );
        traces
    }
}

fn ssh_config(sshd: &Sshd) -> String {
    let mut config = format!(
        "Host demo\n    HostName 127.0.0.1\n    User {}\n",
        sshd.user()
    );
    for option in sshd.options() {
        config += &format!("    {}\n", option.replacen('=', " ", 1));
    }
    config
}

/// Removes sshd's directory at the end if it was not there at the beginning.
struct Borrowed {
    made: bool,
}

impl Borrowed {
    fn note() -> Self {
        let made = !PathBuf::from(PRIVILEGE_SEPARATION).exists();
        Self { made }
    }
}

impl Drop for Borrowed {
    fn drop(&mut self) {
        if self.made {
            // It does not exist if the demo does not run as root. It stays if another program uses
            // it.
            let _ = std::fs::remove_dir(PRIVILEGE_SEPARATION);
        }
    }
}
