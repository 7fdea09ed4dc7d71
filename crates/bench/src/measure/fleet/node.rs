//! A node of an authority, with its agent and its database, and connections to it.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};
use testing::{Home, Postgres, Service};

use super::renewer::AUDIENCE;
use crate::world::run;

pub(crate) const SQLITE: &str = "SQLite";
pub(crate) const POSTGRES: &str = "PostgreSQL";

/// A running node. Its registry is on the disk, and its two keys are in ssh-agent, in software.
pub(super) struct Node {
    process: Child,
    address: String,
    dir: PathBuf,
    _agent: Service,
    _database: Option<Postgres>,
    home: Home,
}

impl Drop for Node {
    fn drop(&mut self) {
        // Both fail only if the process has ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Node {
    pub(super) fn start(who: &str) -> Result<Self> {
        let home = Home::new();
        let at = |name: &str| home.path().join(name);
        let socket = at("agent");
        let mut command = Command::new("ssh-agent");
        command.arg("-D").arg("-a").arg(&socket);
        let agent = Service::start("ssh-agent", command, &socket);
        for key in ["user-ca", "host-ca"] {
            run(Command::new("ssh-keygen")
                .args(["-q", "-t", "ecdsa", "-N", "", "-f"])
                .arg(at(key)))?;
            run(Command::new("ssh-add")
                .arg("-q")
                .arg(at(key))
                .envs(agent.env()))?;
        }
        let dir = at("ca");
        let mut init = program(&dir)?;
        init.args(["init", "--audience", AUDIENCE, "--listen", "127.0.0.1:0"]);
        init.arg("--user-ca").arg(at("user-ca.pub"));
        init.arg("--host-ca").arg(at("host-ca.pub"));
        init.envs(agent.env());
        let mut database = None;
        if who == POSTGRES {
            let server = Postgres::durable();
            let _ = server.sql("postgres", "CREATE ROLE node LOGIN");
            let owner = server.url("owner", "postgres");
            run(program(&dir)?.args(["database", "prepare", &owner, "--role", "node"]))?;
            init.args(["--database", &server.url("node", "postgres")]);
            database = Some(server);
        }
        run(&mut init)?;
        let mut process = program(&dir)?
            .arg("serve")
            .stderr(Stdio::piped())
            .spawn()
            .context("tpmssh-ca does not start")?;
        let stderr = process.stderr.take().context("it has a standard error")?;
        let mut lines = BufReader::new(stderr).lines();
        let first = lines.next().context("tpmssh-ca ended at once")??;
        let address = first
            .strip_prefix("tpmssh-ca: listening at http://")
            .with_context(|| first.clone())?
            .trim_end_matches('/')
            .to_owned();
        // Reads its messages, so that the pipe does not fill up.
        std::thread::spawn(move || {
            lines
                .map_while(Result::ok)
                .for_each(|line| eprintln!("{line}"))
        });
        Ok(Self {
            process,
            address,
            dir,
            _agent: agent,
            _database: database,
            home,
        })
    }

    /// Announces machines to the node, by their lines.
    pub(super) fn import(&self, lines: &str) -> Result<()> {
        let file = self.home.path().join("machines");
        fs::write(&file, lines)?;
        run(program(&self.dir)?.args(["device", "import"]).arg(file))?;
        Ok(())
    }

    pub(super) fn connect(&self) -> Result<Connection> {
        Connection::new(&self.address)
    }

    pub(super) fn address(&self) -> &str {
        &self.address
    }

    /// The processor time that the node has used, and its memory in MiB.
    pub(super) fn use_of(&self) -> Result<(Duration, f64)> {
        let pid = self.process.id();
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        let (_, rest) = stat.rsplit_once(')').context("a line of /proc/PID/stat")?;
        // utime and stime are fields 14 and 15, in hundredths of a second.
        let ticks: Vec<u64> = rest
            .split_whitespace()
            .skip(11)
            .take(2)
            .map(str::parse)
            .collect::<Result<_, _>>()?;
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let memory = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib: f64 = memory
            .and_then(|it| it.split_whitespace().next())
            .context("a line VmRSS")?
            .parse()?;
        let time = Duration::from_millis(10 * ticks.iter().sum::<u64>());
        Ok((time, kib / 1024.0))
    }

    /// Stops the node with SIGTERM.
    pub(super) fn end(mut self) -> Result<()> {
        let pid = Pid::from_child(&self.process);
        kill_process(pid, Signal::TERM)?;
        ensure!(self.process.wait()?.success(), "the node did not end well");
        Ok(())
    }
}

fn program(dir: &Path) -> Result<Command> {
    let own = std::env::current_exe()?;
    let program = own.parent().context("a directory")?.join("tpmssh-ca");
    let mut command = Command::new(program);
    command.arg("--dir").arg(dir).stdin(Stdio::null());
    Ok(command)
}

/// A connection that is kept for many requests.
pub(super) struct Connection {
    address: String,
    stream: BufReader<TcpStream>,
}

impl Connection {
    pub(super) fn new(address: &str) -> Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        Ok(Self {
            address: address.to_owned(),
            stream: BufReader::new(stream),
        })
    }

    /// Status and body of an answer. Connects again if the node has closed the connection, which it does after half a minute.
    pub(super) fn ask(&mut self, method: &str, path: &str, body: &str) -> Result<(u16, Vec<u8>)> {
        match self.try_ask(method, path, body) {
            Ok(answer) => Ok(answer),
            Err(_) => {
                *self = Self::new(&self.address)?;
                self.try_ask(method, path, body)
            }
        }
    }

    fn try_ask(&mut self, method: &str, path: &str, body: &str) -> Result<(u16, Vec<u8>)> {
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        self.stream.get_mut().write_all(request.as_bytes())?;
        let mut status = None;
        let mut len = 0;
        loop {
            let mut line = String::new();
            ensure!(
                self.stream.read_line(&mut line)? > 0,
                "the node has closed the connection"
            );
            let line = line.trim_end().to_ascii_lowercase();
            if line.is_empty() {
                break;
            }
            if status.is_none() {
                status = line.split(' ').nth(1).and_then(|it| it.parse().ok());
            } else if let Some(value) = line.strip_prefix("content-length:") {
                len = value.trim().parse()?;
            }
        }
        let mut answer = vec![0; len];
        self.stream.read_exact(&mut answer)?;
        Ok((status.context("a status line")?, answer))
    }

    /// The body of an answer with a success status.
    pub(super) fn granted(&mut self, method: &str, path: &str, body: &str) -> Result<Vec<u8>> {
        let (status, answer) = self.ask(method, path, body)?;
        let shown = String::from_utf8_lossy(&answer);
        ensure!(status == 200, "{path}: {status} {shown}");
        Ok(answer)
    }
}
