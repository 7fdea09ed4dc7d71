//! SSH clients that are not OpenSSH's, by way of the agent and to OpenSSH's server.

use std::{fs, process::Command};

use testing::Sshd;

use crate::agent::served::Served;
use crate::clients::{KEYS, file, ok, refused, two_keys, write};
use crate::program::Program;

use super::{needs, script};

/// An SSH server, and an agent with the two keys of a token, both unlocked.
struct Ssh<'a> {
    program: &'a Program,
    sshd: Sshd,
    agent: Served<'a>,
}

impl<'a> Ssh<'a> {
    fn start(program: &'a Program) -> Self {
        let home = &program.home;
        let sshd = Sshd::with_config(home, "Subsystem sftp internal-sftp\n");
        // Where clients look for it that have no option.
        fs::copy(sshd.known_hosts(), home.path().join(".ssh/known_hosts")).unwrap();
        let agent = Served::start(program);
        program.run(&["unlock", "--pin-file", &program.pin]).ok();
        Self {
            program,
            sshd,
            agent,
        }
    }

    /// Lets in the key `label` and no other, and returns the fingerprint that the log will show.
    fn let_in(&self, label: &str) -> String {
        let public = self.program.run(&["export", label]).ok();
        fs::write(self.sshd.authorized_keys(), &public).unwrap();
        let public = write(&self.program.home, "public", public);
        let shown = ok(self
            .program
            .home
            .command("ssh-keygen")
            .args(["-lf", &public]));
        shown.split(' ').nth(1).unwrap().to_owned()
    }

    /// A login of `client` succeeds with the key `label`, and fails if no key is let in.
    #[track_caller]
    fn logs_in(&self, label: &str, client: impl Fn() -> Command) {
        let fingerprint = self.let_in(label);
        let printed = ok(&mut client());
        assert!(printed.contains("logged in"), "{printed}");
        let log = self.sshd.log();
        let mut accepted = log.lines().filter(|line| line.contains("Accepted"));
        let last = accepted.next_back().unwrap_or_default();
        assert!(last.ends_with(&fingerprint), "{label}: {log}");
        fs::write(self.sshd.authorized_keys(), "").unwrap();
        refused(&mut client());
    }

    fn client(&self, program: &str) -> Command {
        self.agent.client(program)
    }

    fn port(&self) -> String {
        self.sshd.port().to_string()
    }

    /// A script of ours for Debian's Python; its arguments are the user and the port.
    fn script(&self, name: &str) -> Command {
        let mut command = self.client("/usr/bin/python3");
        command.arg(script(name));
        command.args([self.sshd.user(), &self.port()]);
        command
    }
}

/// Where Debian has a Python module.
fn python(module: &str) -> String {
    format!("/usr/lib/python3/dist-packages/{module}")
}

/// What a client runs at the server.
const REMOTE: &str = "echo logged in";

#[test]
fn paramiko_logs_in_by_the_agent() {
    needs(&python("paramiko"), "python3-paramiko");
    let program = two_keys();
    let ssh = Ssh::start(&program);
    for label in KEYS {
        ssh.logs_in(label, || ssh.script("paramiko_agent.py"));
    }
}

#[test]
fn asyncssh_logs_in_by_the_agent() {
    needs(&python("asyncssh"), "python3-asyncssh");
    let program = two_keys();
    let ssh = Ssh::start(&program);
    for label in KEYS {
        ssh.logs_in(label, || ssh.script("asyncssh_agent.py"));
    }
}

#[test]
fn go_logs_in_by_the_agent() {
    needs("/usr/bin/go", "golang-go");
    needs(
        "/usr/share/gocode/src/golang.org/x/crypto/ssh/agent",
        "golang-golang-x-crypto-dev",
    );
    let program = two_keys();
    let ssh = Ssh::start(&program);
    let client = file(&program.home, "go-client");
    let mut build = program.home.command("go");
    build
        .args(["build", "-o", &client])
        .arg(script("go_agent.go"));
    // Debian's Go packages are sources below one directory; there is nothing to download.
    build.envs([("GOPATH", "/usr/share/gocode"), ("GO111MODULE", "off")]);
    ok(&mut build);
    for label in KEYS {
        ssh.logs_in(label, || {
            let mut client = ssh.client(&client);
            client.args([ssh.sshd.user(), &ssh.port()]);
            client
        });
    }
}

#[test]
fn plink_logs_in_by_the_agent() {
    needs("/usr/bin/plink", "putty-tools");
    let program = two_keys();
    let ssh = Ssh::start(&program);
    let mut host_key = program.home.command("ssh-keygen");
    let host_key = ok(host_key.args(["-l", "-f", ".sshd/host_key.pub"]));
    let host_key = host_key.split(' ').nth(1).unwrap();
    for label in KEYS {
        ssh.logs_in(label, || {
            let mut plink = ssh.client("plink");
            plink.args(["-batch", "-agent", "-hostkey", host_key]);
            plink.args(["-P", &ssh.port(), &ssh.sshd.destination(), REMOTE]);
            plink
        });
    }
}

/// curl's SFTP is libssh2. Debian 12's makes no RSA signatures but with SHA-1, which no server takes.
#[test]
fn curl_fetches_a_file_over_sftp_by_the_agent() {
    needs("/usr/bin/curl", "curl");
    let program = two_keys();
    let ssh = Ssh::start(&program);
    let fetched = write(&program.home, "fetched", "logged in");
    ssh.logs_in("ecdsa", || {
        let mut curl = ssh.client("curl");
        curl.args([
            "--silent",
            "--show-error",
            "--user",
            &format!("{}:", ssh.sshd.user()),
        ]);
        curl.arg(format!("sftp://127.0.0.1:{}{fetched}", ssh.port()));
        curl
    });
}
