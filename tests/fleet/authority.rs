//! A running `tpmssh-ca`.

use std::fs;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::agent::served::eventually;
use tempfile::TempDir;
use testing::Postgres;

use super::node::{Node, program};
use crate::program::{Outcome, run, text};

/// The authority's name in proofs.
pub(crate) const AUDIENCE: &str = "https://ca.example/";

/// An authority of one node, with its keys in OpenSSH's agent.
pub(crate) struct Authority {
    node: Option<Node>,
    agent: Child,
    dir: TempDir,
    pub(crate) url: String,
}

impl Authority {
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    /// An authority with further options of `init`.
    pub(crate) fn start_with(options: &[&str]) -> Self {
        Self::start_in(new_dir(), options)
    }

    /// Two nodes of one authority with one database.
    pub(crate) fn pair(database: &Postgres) -> [Self; 2] {
        let options = ["--database", &prepare(database)];
        let first = Self::start_with(&options);
        let dir = new_dir();
        for name in ["user", "user.pub", "host", "host.pub"] {
            fs::copy(first.file(name), dir.path().join(name)).unwrap();
        }
        let mut second = Self::start_in(dir, &options);
        second.stop();
        fs::copy(first.file("ca/ticket-keys"), second.file("ca/ticket-keys")).unwrap();
        second.serve();
        [first, second]
    }

    /// An authority with the keys that are in `dir`, or new ones.
    fn start_in(dir: TempDir, options: &[&str]) -> Self {
        let at = |name: &str| text(dir.path().join(name));
        let socket = at("agent");
        let agent = Command::new("ssh-agent")
            .args(["-D", "-a", &socket])
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        eventually(|| UnixStream::connect(&socket).is_ok());
        let mut authority = Self {
            node: None,
            agent,
            url: String::new(),
            dir,
        };
        authority.make_key("user");
        authority.make_key("host");
        let [user, host] = ["user.pub", "host.pub"].map(at_in(authority.dir.path()));
        let keys = ["--user-ca", &user, "--host-ca", &host, "--agent", &socket];
        let listen = ["--audience", AUDIENCE, "--listen", "127.0.0.1:0"];
        authority.run(&[&["init"], &listen[..], &keys, options].concat());
        authority.serve();
        authority
    }

    /// Makes a key if it is not there, and gives it to the agent.
    pub(crate) fn make_key(&self, name: &str) {
        let key = self.file(name);
        if !Path::new(&key).exists() {
            run("ssh-keygen", &["-q", "-t", "ecdsa", "-N", "", "-f", &key]);
        }
        let mut add = Command::new("ssh-add");
        let socket = self.file("agent");
        Outcome::of(add.args(["-q", &key]).env("SSH_AUTH_SOCK", socket)).ok();
    }

    pub(crate) fn serve(&mut self) {
        let node = Node::start(self.command(&["serve"]), drop);
        self.url.clone_from(&node.url);
        self.node = Some(node);
    }

    /// Stops the node.
    pub(crate) fn stop(&mut self) {
        self.node = None;
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(program());
        command.arg("--dir").arg(self.dir.path().join("ca"));
        command.args(args);
        command
    }

    /// Runs a command, and returns its output.
    #[track_caller]
    pub(crate) fn run(&self, args: &[&str]) -> String {
        Outcome::of(&mut self.command(args)).ok()
    }

    /// Makes a join token, in a file.
    pub(crate) fn token(&self, role: &str, name: &str) -> String {
        let token = self.run(&["join-token", "new", "--role", role, "--name", name]);
        let path = self.dir.path().join(format!("token-{name}"));
        fs::write(&path, token).unwrap();
        text(path)
    }

    /// A file of the authority: `user.pub`, `host.pub`.
    pub(crate) fn file(&self, name: &str) -> String {
        text(self.dir.path().join(name))
    }

    /// Stops the node, and starts it with another policy.
    pub(crate) fn serve_with(&mut self, from: &str, to: &str) {
        self.stop();
        self.change_policy(from, to);
        self.serve();
    }

    /// The audit log.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("ca/audit.log")).unwrap()
    }

    /// Replaces text in the policy; the node reads it when it starts.
    pub(crate) fn change_policy(&self, from: &str, to: &str) {
        let path = self.dir.path().join("ca/policy.toml");
        let policy = fs::read_to_string(&path).unwrap();
        assert!(policy.contains(from), "{policy}");
        fs::write(path, policy.replace(from, to)).unwrap();
    }
}

/// Makes the tables of a registry, and the role that nodes use. Returns the URL for nodes.
pub(super) fn prepare(database: &Postgres) -> String {
    let _ = database.sql("postgres", "CREATE ROLE node LOGIN");
    let owner = database.url("owner", "postgres");
    let prepare = ["database", "prepare", &owner, "--role", "node"];
    Outcome::of(Command::new(program()).args(prepare)).ok();
    database.url("node", "postgres")
}

fn new_dir() -> TempDir {
    tempfile::Builder::new().prefix("ca-").tempdir().unwrap()
}

fn at_in(dir: &Path) -> impl Fn(&str) -> String {
    let dir: PathBuf = dir.to_owned();
    move |name| text(dir.join(name))
}

impl Drop for Authority {
    fn drop(&mut self) {
        self.stop();
        let _ = self.agent.kill();
        let _ = self.agent.wait();
    }
}
