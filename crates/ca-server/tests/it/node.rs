//! A node with its agent.

mod answer;
mod machine;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use tempfile::TempDir;

pub(crate) use answer::Answer;
pub(crate) use machine::{host, renewal, ssh_key};

use crate::software_tpm::SoftwareTpm;

pub(crate) const AUDIENCE: &str = "https://ca.example/";

/// A child process that is killed when this is dropped.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// An authority of one node.
pub(crate) struct Node {
    // Dropped first, because the node uses the agent.
    process: Option<Process>,
    address: String,
    agent: Option<Process>,
    pub(crate) dir: TempDir,
}

impl Node {
    /// A running node with the policy that `init` makes.
    pub(crate) fn start() -> Self {
        let mut node = Self::initialised();
        node.serve();
        node
    }

    /// A running node, with `from` replaced by `to` in the policy that `init` makes.
    pub(crate) fn start_with(from: &str, to: &str) -> Self {
        let mut node = Self::initialised();
        node.change_policy(from, to);
        node.serve();
        node
    }

    /// Replaces text in the policy; the node reads it when it starts, and at a reload.
    pub(crate) fn change_policy(&self, from: &str, to: &str) {
        let path = self.own("policy.toml");
        let policy = fs::read_to_string(&path).unwrap();
        let changed = policy.replace(from, to);
        assert_ne!(policy, changed);
        fs::write(path, changed).unwrap();
    }

    /// Ends the node, and starts it with another policy.
    pub(crate) fn restart_with(&mut self, from: &str, to: &str) {
        assert_eq!(self.terminate(), Some(0));
        self.change_policy(from, to);
        self.serve();
    }

    /// Imports a machine as an administrator does.
    pub(crate) fn import(&self, tpm: &SoftwareTpm, name: &str) {
        let ek = crate::software_tpm::ek_name(tpm);
        let file = self.at("devices.jsonl");
        let line =
            format!("{{\"ek_name\": \"{ek}\", \"role\": \"host\", \"name\": \"{name}\"}}\n\n");
        fs::write(&file, line).unwrap();
        let said = self.ok(&["device", "import", file.to_str().unwrap()]);
        assert_eq!(said, "1 machines are expected\n");
    }

    /// A node that is not started yet.
    pub(crate) fn initialised() -> Self {
        Self::initialised_with(&[])
    }

    /// Another node of the same authority, not started yet. It has the same keys, in an agent of its own.
    pub(crate) fn beside(other: &Self, options: &[&str]) -> Self {
        let mut node = Self::bare();
        for key in ["user", "user.pub", "host", "host.pub"] {
            fs::copy(other.at(key), node.at(key)).unwrap();
        }
        node.start_agent();
        node.init(options);
        node
    }

    /// A node that is not started yet, with more options of `init`.
    pub(crate) fn initialised_with(options: &[&str]) -> Self {
        let mut node = Self::bare();
        for key in ["user", "host"] {
            run(Command::new("ssh-keygen")
                .args(["-q", "-t", "ecdsa", "-N", "", "-f"])
                .arg(node.at(key)));
        }
        node.start_agent();
        node.init(options);
        node
    }

    fn bare() -> Self {
        let dir = tempfile::Builder::new().prefix("ca-").tempdir().unwrap();
        Self {
            process: None,
            address: String::new(),
            agent: None,
            dir,
        }
    }

    fn init(&self, options: &[&str]) {
        let (agent, user, host) = (self.at("agent"), self.at("user.pub"), self.at("host.pub"));
        let output = self
            .command(&["init", "--audience", AUDIENCE, "--listen", "127.0.0.1:0"])
            .arg("--agent")
            .arg(agent)
            .arg("--user-ca")
            .arg(user)
            .arg("--host-ca")
            .arg(host)
            .args(options)
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
    }

    pub(crate) fn start_agent(&mut self) {
        let socket = self.at("agent");
        let _ = fs::remove_file(&socket);
        let agent = Command::new("ssh-agent")
            .arg("-D")
            .arg("-a")
            .arg(&socket)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        self.agent = Some(Process(agent));
        wait(|| UnixStream::connect(&socket).is_ok());
        for key in ["user", "host"] {
            run(Command::new("ssh-add")
                .arg("-q")
                .arg(self.at(key))
                .env("SSH_AUTH_SOCK", &socket));
        }
    }

    pub(crate) fn stop_agent(&mut self) {
        self.agent = None;
    }

    pub(crate) fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A file in the directory of the program.
    pub(crate) fn own(&self, name: &str) -> PathBuf {
        self.at("ca").join(name)
    }

    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tpmssh-ca"));
        command.arg("--dir").arg(self.at("ca")).args(args);
        command
    }

    /// Runs a command: exit code, standard output, and standard error.
    pub(crate) fn run(&self, args: &[&str]) -> (i32, String, String) {
        shown(&self.command(args).output().unwrap())
    }

    /// Runs a command that has to succeed, and returns its output.
    #[track_caller]
    pub(crate) fn ok(&self, args: &[&str]) -> String {
        let (code, out, err) = self.run(args);
        assert_eq!((code, err.as_str()), (0, ""), "{args:?}");
        out
    }

    pub(crate) fn serve(&mut self) {
        self.serve_by(&mut self.command(&["serve"]));
    }

    pub(crate) fn serve_by(&mut self, command: &mut Command) {
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        self.process = Some(Process(child));
        let first = lines.next().unwrap().unwrap();
        let address = first.strip_prefix("tpmssh-ca: listening at http");
        self.address = address
            .unwrap_or_else(|| panic!("{first}"))
            .trim_start_matches('s')
            .trim_matches(['/', ':'])
            .to_owned();
        // Opened here, because the thread could create the file again while the directory is being removed.
        let log = fs::File::options()
            .create(true)
            .append(true)
            .open(self.at("stderr"));
        let mut file = log.unwrap();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let _ = writeln!(file, "{line}");
            }
        });
    }

    /// What it has printed so far. A thread of this test copies it, so what it prints comes a moment later.
    pub(crate) fn printed(&self) -> String {
        std::fs::read_to_string(self.at("stderr")).unwrap_or_default()
    }

    /// Waits until it has printed `text`.
    #[track_caller]
    pub(crate) fn wait_until_printed(&self, text: &str) {
        wait(|| self.printed().contains(text));
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.as_ref().unwrap().0.id()
    }

    /// Kills the node (SIGKILL).
    pub(crate) fn kill(&mut self) {
        self.process = None;
    }

    /// Stops the node as an administrator does (SIGTERM), and returns its exit code.
    pub(crate) fn terminate(&mut self) -> Option<i32> {
        let mut process = self.process.take().unwrap();
        let pid = rustix::process::Pid::from_child(&process.0);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        process.0.wait().unwrap().code()
    }

    /// The address of the node.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    pub(crate) fn token(&self, role: &str, name: &str) -> String {
        let args = ["join-token", "new", "--role", role, "--name", name];
        self.ok(&args).trim().to_owned()
    }

    /// The number of rows of a table.
    pub(crate) fn rows(&self, table: &str) -> i64 {
        let db = rusqlite::Connection::open(self.own("registry.db")).unwrap();
        let sql = format!("SELECT count(*) FROM {table}");
        db.query_row(&sql, [], |row| row.get(0)).unwrap()
    }
}

pub(crate) fn wait(mut until: impl FnMut() -> bool) {
    for _ in 0..600 {
        if until() {
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("the condition was not met in time");
}

#[track_caller]
pub(crate) fn run(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {output:?}");
    output
}

pub(crate) fn shown(output: &Output) -> (i32, String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (
        output.status.code().unwrap_or(-1),
        text(&output.stdout),
        text(&output.stderr),
    )
}

/// Writes a file with `content` into the node's directory.
pub(crate) fn write(path: &Path, content: &[u8]) {
    fs::write(path, content).unwrap();
}
