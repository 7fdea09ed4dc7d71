//! A node with its agent, and the requests of machines.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use key_proof::{
    Challenge, ENROLL_NAMESPACE, Identity, Kind, Name, Proof, PublicArea, Renewal,
    renewal_transcript,
};
use serde_json::Value;
use ssh_format::{AnyKey, Certificate, SigHash};
use tempfile::TempDir;

use crate::software_tpm::{SoftwareTpm, name};

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

/// An answer over HTTP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// The head, in lower case.
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// The `Retry-After` in seconds; 0 without one.
    pub(crate) fn retry_after(&self) -> u64 {
        let line = self
            .head
            .lines()
            .find_map(|it| it.strip_prefix("retry-after: "));
        line.map_or(0, |it| it.parse().unwrap())
    }

    /// The status, the code and the text of a refusal.
    #[track_caller]
    pub(crate) fn refused(&self) -> (u16, String, String) {
        let json = self.json();
        let text = |name: &str| json[name].as_str().unwrap_or_default().to_owned();
        (self.status, text("code"), text("detail"))
    }

    #[track_caller]
    pub(crate) fn certificate(&self) -> Certificate {
        assert_eq!(self.status, 200, "{}", String::from_utf8_lossy(&self.body));
        let json = self.json();
        Certificate::from_line(json["certificate"].as_str().unwrap())
            .unwrap()
            .0
    }
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

    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(&self.address).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(30)))
            .unwrap();
        stream
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, "", b"")
    }

    pub(crate) fn post(&self, path: &str, body: &[u8]) -> Answer {
        self.ask("POST", path, "", body)
    }

    pub(crate) fn ask(&self, method: &str, path: &str, head: &str, body: &[u8]) -> Answer {
        let mut stream = self.connect();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{head}Content-Length: {}\r\n\r\n",
            body.len()
        );
        let _ = stream.write_all(&[head.as_bytes(), body].concat());
        read_answer(stream)
    }

    pub(crate) fn token(&self, role: &str, name: &str) -> String {
        let args = ["join-token", "new", "--role", role, "--name", name];
        self.ok(&args).trim().to_owned()
    }

    pub(crate) fn begin(&self, tpm: &SoftwareTpm) -> Answer {
        self.post("/v1/enroll/begin", tpm.request().to_json().as_bytes())
    }

    /// The proof for a fresh challenge.
    #[track_caller]
    pub(crate) fn proof(&self, tpm: &SoftwareTpm) -> Proof {
        let answer = self.begin(tpm);
        assert_eq!(
            answer.status,
            200,
            "{}",
            String::from_utf8_lossy(&answer.body)
        );
        tpm.answer(&Challenge::from_json(&answer.body).unwrap())
    }

    pub(crate) fn finish(&self, proof: &Proof) -> Answer {
        self.post("/v1/enroll/finish", proof.to_json().as_bytes())
    }

    pub(crate) fn enrol(&self, tpm: &SoftwareTpm) -> Answer {
        self.finish(&self.proof(tpm))
    }

    /// A host that has enrolled.
    pub(crate) fn host(&self, name: &str) -> SoftwareTpm {
        let tpm = host(name, &self.token("host", name));
        self.enrol(&tpm).certificate();
        tpm
    }

    pub(crate) fn nonce(&self) -> [u8; 32] {
        use base64ct::{Base64, Encoding};
        let json = self.get("/v1/nonce").json();
        let nonce = Base64::decode_vec(json["nonce"].as_str().unwrap()).unwrap();
        nonce.try_into().unwrap()
    }

    pub(crate) fn renew(&self, tpm: &SoftwareTpm) -> Answer {
        let renewal = renewal(tpm, self.nonce());
        self.post("/v1/renew", renewal.to_json().as_bytes())
    }

    /// As above, but the node may be killed meanwhile; `None` once it is gone.
    pub(crate) fn try_renew(&self, tpm: &SoftwareTpm) -> Option<Answer> {
        use base64ct::{Base64, Encoding};
        let ask = |method: &str, path: &str, body: &str| {
            let mut stream = TcpStream::connect(&self.address).ok()?;
            let head = format!(
                "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            );
            stream.write_all(head.as_bytes()).ok()?;
            let answer = read_answer(stream);
            (answer.status != 0).then_some(answer)
        };
        let nonce: Value = serde_json::from_slice(&ask("GET", "/v1/nonce", "")?.body).ok()?;
        let nonce = Base64::decode_vec(nonce["nonce"].as_str()?).ok()?;
        let renewal = renewal(tpm, nonce.try_into().ok()?);
        let answer = ask("POST", "/v1/renew", &renewal.to_json())?;
        let is_whole = serde_json::from_slice::<Value>(&answer.body).is_ok();
        is_whole.then_some(answer)
    }

    /// As above for any body; `None` if the node was killed before it answered.
    pub(crate) fn try_post(&self, path: &str, body: &[u8]) -> Option<Answer> {
        let mut stream = TcpStream::connect(&self.address).ok()?;
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(&[head.as_bytes(), body].concat()).ok()?;
        let answer = read_answer(stream);
        (answer.status != 0).then_some(answer)
    }

    /// The number of rows of a table.
    pub(crate) fn rows(&self, table: &str) -> i64 {
        let db = rusqlite::Connection::open(self.own("registry.db")).unwrap();
        let sql = format!("SELECT count(*) FROM {table}");
        db.query_row(&sql, [], |row| row.get(0)).unwrap()
    }
}

fn read_answer(mut stream: TcpStream) -> Answer {
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes);
    let end = bytes.windows(4).position(|it| it == b"\r\n\r\n");
    let Some(end) = end else {
        return Answer {
            status: 0,
            head: String::new(),
            body: bytes,
        };
    };
    let head = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer {
        status,
        head,
        body: bytes[end + 4..].to_vec(),
    }
}

/// A machine with a key without a PIN, which asks for a certificate of the host `name`.
pub(crate) fn host(name: &str, token: &str) -> SoftwareTpm {
    let mut tpm = SoftwareTpm::new();
    tpm.behind_nothing();
    tpm.kind = Kind::Host;
    tpm.principals = vec![name.to_owned()];
    tpm.audience = AUDIENCE.to_owned();
    if !token.is_empty() {
        tpm.identity = Identity::Join(token.to_owned());
    }
    tpm
}

/// A renewal with the same names as before.
pub(crate) fn renewal(tpm: &SoftwareTpm, nonce: [u8; 32]) -> Renewal {
    let attestation_key = PublicArea::parse(&tpm.ak.bytes()).unwrap().name();
    let key = Name::from_bytes(&name(&tpm.key.bytes())).unwrap();
    let transcript = renewal_transcript(
        &attestation_key,
        &key,
        tpm.kind,
        &tpm.principals,
        AUDIENCE,
        &nonce,
    );
    let attest = tpm.attest(&nonce, &transcript);
    Renewal {
        attestation_key,
        key,
        kind: tpm.kind,
        principals: tpm.principals.clone(),
        nonce,
        signature: tpm.signature(&attest),
        attest,
        sshsig: tpm.own_signature(ENROLL_NAMESPACE, SigHash::Sha512, &transcript),
    }
}

/// The SSH key of a machine.
pub(crate) fn ssh_key(tpm: &SoftwareTpm) -> AnyKey {
    let (x, y) = tpm.key.key.point();
    let key = ssh_format::PublicKey::ecdsa(ssh_format::Curve::NistP256, &x, &y).unwrap();
    AnyKey::from_blob(key.blob()).unwrap()
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
