//! A private PostgreSQL.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, chown},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::OnceLock,
};

use rustix::process::{Pid, Signal, geteuid};
use tempfile::TempDir;

use crate::{
    port::Ports,
    process::Daemon,
    temp::{memory_dir, temp_dir},
    wait::poll,
};

/// Debian's `nobody` and `nogroup`: PostgreSQL does not run as root.
const NOBODY: u32 = 65534;

/// A running PostgreSQL with a data directory of its own, that listens at a Unix socket alone.
///
/// Its superuser is `owner`, its database `postgres`; nobody needs a password. Dropping it ends it at once.
#[derive(Debug)]
pub struct Postgres {
    // Declared in the order in which they must be dropped: the process first.
    process: Option<Daemon>,
    dir: TempDir,
    settings: Vec<String>,
    /// Only with TLS; the socket has its number in its name.
    ports: Option<Ports>,
}

impl Postgres {
    /// Starts one whose data is in memory. It does not wait for a disk, and loses nothing when it is killed.
    ///
    /// The data directory is made once per process (about 2 s) and copied.
    ///
    /// # Panics
    ///
    /// If PostgreSQL is not installed (Debian's package `postgresql`) or does not start.
    #[must_use]
    pub fn start() -> Self {
        Self::with(memory_dir(), &["fsync=off"], None)
    }

    /// The same, but it listens at a loopback port as well, with TLS and the files of `certificate` and its `key` (PEM). Over TCP it asks for
    /// a password.
    ///
    /// # Panics
    ///
    /// As for [`start`](Self::start), and if the files are not a certificate and its key.
    #[must_use]
    pub fn with_tls(certificate: &str, key: &str) -> Self {
        let dir = memory_dir();
        for (name, content) in [("tls.pem", certificate), ("tls.key", key)] {
            let path = dir.path().join(name);
            fs::write(&path, content).expect("a fresh directory is writable");
            own(&path, false);
        }
        let file = |name: &str| dir.path().join(name).display().to_string();
        let rules = dir.path().join("rules");
        let text = "local all all trust\nhostssl all all 127.0.0.1/32 scram-sha-256\n";
        fs::write(&rules, text).expect("a fresh directory is writable");
        own(&rules, false);
        let settings = [
            "fsync=off".to_owned(),
            "ssl=on".to_owned(),
            "listen_addresses=127.0.0.1".to_owned(),
            format!("ssl_cert_file={}", file("tls.pem")),
            format!("ssl_key_file={}", file("tls.key")),
            format!("hba_file={}", rules.display()),
        ];
        let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
        Self::with(dir, &settings, Some(Ports::reserve(1)))
    }

    /// The port at 127.0.0.1, and the number of the socket.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.ports.as_ref().map_or(5432, Ports::first)
    }

    /// Starts one whose data is on the disk, with the settings that PostgreSQL has by itself: each transaction waits until it is written.
    ///
    /// # Panics
    ///
    /// As for [`start`](Self::start).
    #[must_use]
    pub fn durable() -> Self {
        Self::with(temp_dir("tpmssh-postgres-"), &[], None)
    }

    fn with(dir: TempDir, settings: &[&str], ports: Option<Ports>) -> Self {
        let data = dir.path().join("data");
        fs::create_dir(&data).expect("a fresh directory is writable");
        for (name, content) in template() {
            let path = data.join(name);
            match content {
                Some(content) => fs::write(&path, content),
                None => fs::create_dir(&path),
            }
            .expect("a fresh directory is writable");
            own(&path, content.is_none());
        }
        own(&data, true);
        own(dir.path(), true);
        let mut postgres = Self {
            process: None,
            dir,
            settings: settings.iter().map(|&it| it.to_owned()).collect(),
            ports,
        };
        postgres.restart();
        postgres
    }

    /// The directory of its socket: the `host` of a connection.
    #[must_use]
    pub fn host(&self) -> &Path {
        self.dir.path()
    }

    /// A connection string for `user` and `database`.
    #[must_use]
    pub fn url(&self, user: &str, database: &str) -> String {
        let host = self.host().display().to_string().replace('/', "%2F");
        format!("postgresql://{user}@{host}:{}/{database}", self.port())
    }

    /// The process id of the server, while it runs.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Daemon::id)
    }

    /// Runs SQL as `owner`, all of it in one transaction; returns the rows, their columns separated by `|`.
    ///
    /// # Panics
    ///
    /// If PostgreSQL refuses it.
    #[must_use]
    pub fn sql(&self, database: &str, sql: &str) -> String {
        let output = self.psql(database).args(["-c", sql]).output();
        let output = output.expect("psql is installed with PostgreSQL");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{sql}: {said}");
        String::from_utf8_lossy(&output.stdout)
            .trim_end()
            .to_owned()
    }

    /// A backup of a database by `pg_dump`, as SQL.
    ///
    /// # Panics
    ///
    /// If PostgreSQL refuses it.
    #[must_use]
    pub fn dump(&self, database: &str) -> Vec<u8> {
        let mut command = Command::new(program("pg_dump"));
        command.env_clear().arg("-h").arg(self.host());
        command.args(["-p", &self.port().to_string(), "-U", "owner", database]);
        let output = command
            .output()
            .expect("pg_dump is installed with PostgreSQL");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
        output.stdout
    }

    /// `psql` as `owner`: bare rows, and the end at the first error.
    #[must_use]
    pub fn psql(&self, database: &str) -> Command {
        let mut command = Command::new(program("psql"));
        command.env_clear().arg("-h").arg(self.host());
        command.args(["-p", &self.port().to_string()]);
        command.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1"]);
        command.args(["-U", "owner", "-d", database]);
        command
    }

    /// Ends it without a shutdown: SIGKILL to the server, whose children notice that and end.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// Ends it in good order; transactions that have not ended are rolled back.
    pub fn stop(&mut self) {
        if let Some(process) = self.process.take() {
            process.signal(Signal::CONT);
            // TERM would wait for the clients to go.
            process.signal(Signal::INT);
            process.terminate();
        }
    }

    /// Stops all of its processes where they are, and lets them go on with `false`.
    ///
    /// # Panics
    ///
    /// If it does not run.
    pub fn freeze(&self, frozen: bool) {
        let signal = if frozen { Signal::STOP } else { Signal::CONT };
        // The server first, so that it makes no more children meanwhile.
        let process = self.process.as_ref().expect("it runs");
        process.signal(signal);
        for pid in self.children() {
            // One that has ended meanwhile needs no signal.
            let _ = rustix::process::kill_process(pid, signal);
        }
    }

    /// The processes of the server besides the first one: one for each connection, and those that write.
    ///
    /// # Panics
    ///
    /// If it does not run.
    #[must_use]
    pub fn children(&self) -> Vec<Pid> {
        let process = self.process.as_ref().expect("it runs");
        let children = format!("/proc/{0}/task/{0}/children", process.id());
        let children = fs::read_to_string(children).unwrap_or_default();
        let pids = children.split_whitespace();
        pids.map(|pid| {
            let pid = pid.parse().ok().and_then(Pid::from_raw);
            pid.expect("the kernel writes numbers")
        })
        .collect()
    }

    /// Starts it again with the same data, after a [`stop`](Self::stop) if it runs.
    ///
    /// # Panics
    ///
    /// If it does not start.
    pub fn restart(&mut self) {
        self.stop();
        let log = self.dir.path().join("log");
        // After a kill, no start succeeds until the children of the old server have ended.
        let process = poll(|| {
            let file = fs::File::create(&log).expect("the directory is writable");
            let mut command = as_nobody(&["--pdeathsig", "KILL"], program("postgres"));
            command.arg("-D").arg(self.dir.path().join("data"));
            command.arg("-k").arg(self.host());
            command.args(["-p", &self.port().to_string()]);
            command.args(["-c", "listen_addresses=", "-c", "max_connections=200"]);
            for setting in &self.settings {
                command.args(["-c", setting]);
            }
            command.stdout(Stdio::null()).stderr(file);
            let mut process = Daemon::spawn("postgres", command);
            let up = poll(|| match process.ended() {
                Some(_) => Some(false),
                None => self.is_ready().then_some(true),
            });
            (up == Some(true)).then_some(process)
        });
        if process.is_none() {
            let log = fs::read_to_string(log).unwrap_or_default();
            panic!("postgres does not come up: {log}");
        }
        self.process = process;
    }

    /// Whether it takes clients, and not only connections.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        let port = self.port().to_string();
        let socket = self.host().join(format!(".s.PGSQL.{port}"));
        UnixStream::connect(socket).is_ok()
            && Command::new(program("pg_isready"))
                .args(["-q", "-p", &port, "-h"])
                .arg(self.host())
                .status()
                .is_ok_and(|status| status.success())
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        if let Some(process) = self.process.take() {
            process.signal(Signal::CONT);
            // QUIT ends the server and its children at once, without a last write to the disk.
            process.signal(Signal::QUIT);
            process.terminate();
        }
    }
}

/// A program of PostgreSQL, which Debian keeps out of `PATH` with one directory for each version: that of the newest.
fn program(name: &str) -> PathBuf {
    let version = |path: &PathBuf| -> Option<u32> { path.file_name()?.to_str()?.parse().ok() };
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
    let newest = versions
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.join("bin").join(name).exists())
        .max_by_key(version);
    newest.map_or_else(|| PathBuf::from(name), |path| path.join("bin").join(name))
}

/// Runs `program` as this user, or as `nobody` if this is root.
fn as_nobody(options: &[&str], program: PathBuf) -> Command {
    let mut command = Command::new("setpriv");
    command.stdin(Stdio::null()).args(options);
    if geteuid().is_root() {
        let id = NOBODY.to_string();
        command.args(["--reuid", &id, "--regid", &id, "--clear-groups"]);
    }
    command.arg("--").arg(program);
    command
}

/// Gives a file to the user that PostgreSQL runs as.
fn own(path: &Path, is_directory: bool) {
    if geteuid().is_root() {
        chown(path, Some(NOBODY), Some(NOBODY)).expect("root gives files away");
    }
    let mode = if is_directory { 0o700 } else { 0o600 };
    let permissions = fs::Permissions::from_mode(mode);
    fs::set_permissions(path, permissions).expect("the file is there");
}

/// The files of a new data directory; `None` stands for a directory, which comes before what is in it.
type Files = Vec<(PathBuf, Option<Vec<u8>>)>;

fn template() -> &'static Files {
    static FILES: OnceLock<Files> = OnceLock::new();
    FILES.get_or_init(|| {
        let dir = memory_dir();
        own(dir.path(), true);
        let data = dir.path().join("data");
        let mut command = as_nobody(&[], program("initdb"));
        command.arg("-D").arg(&data);
        command.args(["-U", "owner", "-A", "trust", "-E", "UTF8", "--locale=C"]);
        let output = command.args(["--no-sync", "--no-instructions"]).output();
        let output = output.expect("setpriv is installed");
        let said = String::from_utf8_lossy(&output.stderr);
        let hint = "is Debian's package postgresql installed?";
        assert!(output.status.success(), "initdb fails ({hint}): {said}");
        let mut files = Vec::new();
        read(&data, Path::new(""), &mut files);
        files
    })
}

fn read(dir: &Path, below: &Path, files: &mut Files) {
    for entry in fs::read_dir(dir).expect("initdb has made it") {
        let path = entry.expect("a directory can be read").path();
        let name = below.join(path.file_name().expect("an entry has a name"));
        if path.is_dir() {
            files.push((name.clone(), None));
            read(&path, &name, files);
        } else {
            let content = fs::read(&path).expect("the file can be read");
            files.push((name, Some(content)));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{thread::sleep, time::Duration};

    use super::*;

    #[test]
    fn what_was_committed_is_there_after_a_kill() {
        let mut postgres = Postgres::start();
        let _ = postgres.sql("postgres", "CREATE TABLE t AS SELECT 7 AS n");
        postgres.kill();
        postgres.restart();
        assert_eq!(postgres.sql("postgres", "SELECT n, n + 1 FROM t"), "7|8");
        let dir = postgres.host().to_owned();
        let pid = postgres.pid().expect("it runs");
        drop(postgres);
        assert!(!dir.exists());
        assert!(!Path::new(&format!("/proc/{pid}")).exists());
    }

    #[test]
    fn a_frozen_one_answers_later() {
        let postgres = Postgres::start();
        postgres.freeze(true);
        let mut asking = postgres.psql("postgres");
        let mut asking = asking.args(["-c", "SELECT 1"]).spawn().expect("psql");
        sleep(Duration::from_millis(200));
        assert!(asking.try_wait().expect("it is ours").is_none());
        postgres.freeze(false);
        assert!(asking.wait().expect("it is ours").success());
    }
}
