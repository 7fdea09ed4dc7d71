//! A private SSH server, and a client that trusts it.

use std::{
    fs,
    io::Read,
    net::{Ipv4Addr, TcpStream},
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::LazyLock,
    time::Duration,
};

use crate::{
    Home,
    port::Ports,
    process::{Daemon, command},
    wait::poll,
};

/// The server program. sshd must be called by its full path.
const SSHD: &str = "/usr/sbin/sshd";

/// Whether it knows [`PerSourcePenalties`](Sshd::knows).
static HAS_PENALTIES: LazyLock<bool> = LazyLock::new(|| Sshd::knows("PerSourcePenalties=no"));

/// The name of the user who runs the test.
static USER: LazyLock<String> =
    LazyLock::new(|| text_of(Command::new("id").arg("-un")).trim().to_owned());

/// An `sshd` on a loopback port with a new host key. Only the user who runs the test can log in,
/// only by public key.
///
/// Its files are in the `.sshd` directory of a [`Home`], so that home must outlive it.
#[derive(Debug)]
pub struct Sshd {
    process: Daemon,
    ports: Ports,
    dir: PathBuf,
    user: String,
}

impl Sshd {
    /// Starts a server and waits for its greeting.
    ///
    /// When run as root it makes sshd's privilege separation directory `/run/sshd` if the
    /// system lacks it, as the packaged service does, and leaves it.
    ///
    /// # Panics
    ///
    /// If `sshd` is not installed or does not start.
    #[must_use]
    pub fn start(home: &Home) -> Self {
        Self::with_config(home, "")
    }

    /// The same with further lines of `sshd_config`. They come first, so they have precedence.
    ///
    /// Failed logins have no consequences for later ones: `PerSourcePenalties` is off unless `lines`
    /// say otherwise.
    ///
    /// # Panics
    ///
    /// As for [`start`](Self::start).
    #[must_use]
    pub fn with_config(home: &Home, lines: &str) -> Self {
        let ports = Ports::reserve(1);
        let dir = home.path().join(".sshd");
        fs::create_dir_all(&dir).expect("a temporary home is writable");
        let host_key = dir.join("host_key");
        let _ = fs::remove_file(&host_key);
        let made = text_of(
            Command::new("ssh-keygen")
                .args(["-q", "-t", "ed25519", "-N", "", "-C", "tpmssh-test", "-f"])
                .arg(&host_key),
        );
        assert!(made.is_empty(), "ssh-keygen: {made}");
        fs::write(dir.join("authorized_keys"), "").expect("a temporary home is writable");

        let public = fs::read_to_string(host_key.with_extension("pub")).expect("just made");
        let known = format!("[127.0.0.1]:{} {public}", ports.first());
        fs::write(dir.join("known_hosts"), known).expect("a temporary home is writable");
        let config = dir.join("sshd_config");
        let mut settings = format!("{lines}\n{}", server_config(&dir, ports.first()));
        if *HAS_PENALTIES {
            settings += "PerSourcePenalties no\n";
        }
        fs::write(&config, settings).expect("a temporary home is writable");
        if rustix::process::getuid().is_root() {
            fs::create_dir_all("/run/sshd").expect("root may make it");
        }

        let log = dir.join("log");
        let mut sshd = command(SSHD);
        sshd.arg("-D").arg("-f").arg(config).arg("-E").arg(&log);
        let mut process = Daemon::spawn("sshd", sshd);
        let up = poll(|| match process.ended() {
            Some(_) => Some(false),
            None => greets(ports.first()).then_some(true),
        });
        if up != Some(true) {
            let log = fs::read_to_string(log).unwrap_or_default();
            panic!("sshd does not come up: {log}");
        }
        Self {
            process,
            ports,
            dir,
            user: USER.clone(),
        }
    }

    /// Whether this machine's server knows an option, such as `PerSourcePenalties=no`, which came
    /// with OpenSSH 9.8.
    ///
    /// # Panics
    ///
    /// If `sshd` is not installed.
    #[must_use]
    pub fn knows(option: &str) -> bool {
        let output = Command::new(SSHD)
            .args(["-T", "-f", "/dev/null", "-o", option])
            .output()
            .unwrap_or_else(|err| panic!("cannot start {SSHD}: {err}"));
        !String::from_utf8_lossy(&output.stderr).contains("Bad configuration option")
    }

    /// The `authorized_keys` file, which is empty at first. sshd reads it at each login.
    #[must_use]
    pub fn authorized_keys(&self) -> PathBuf {
        self.dir.join("authorized_keys")
    }

    /// The file of host keys that clients trust.
    #[must_use]
    pub fn known_hosts(&self) -> PathBuf {
        self.dir.join("known_hosts")
    }

    /// The port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.ports.first()
    }

    /// The name of the user who runs the test, who can log in.
    #[must_use]
    pub fn user(&self) -> &str {
        &self.user
    }

    /// The destination, `user@127.0.0.1`.
    #[must_use]
    pub fn destination(&self) -> String {
        format!("{}@127.0.0.1", self.user)
    }

    /// The process id of the listening server.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// The log of the server so far.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(self.dir.join("log")).unwrap_or_default()
    }

    /// Options in the syntax of `ssh_config` for this server: they trust only its host key, use no
    /// file outside of the test, and allow only public keys.
    #[must_use]
    pub fn options(&self) -> Vec<String> {
        vec![
            format!("Port={}", self.port()),
            format!(
                "UserKnownHostsFile={}",
                self.dir.join("known_hosts").display()
            ),
            "GlobalKnownHostsFile=/dev/null".into(),
            "StrictHostKeyChecking=yes".into(),
            "PreferredAuthentications=publickey".into(),
            "IdentityFile=none".into(),
            "ConnectTimeout=30".into(),
            "LogLevel=ERROR".into(),
        ]
    }

    /// The arguments for `ssh` (and `scp`, `sftp`) with [`options`](Self::options) and no configuration file.
    #[must_use]
    pub fn ssh_args(&self) -> Vec<String> {
        let options = self
            .options()
            .into_iter()
            .flat_map(|option| ["-o".into(), option]);
        ["-F".into(), "/dev/null".into()]
            .into_iter()
            .chain(options)
            .collect()
    }

    /// A command `ssh [our options] [arguments] user@127.0.0.1 [remote]` in `home`.
    ///
    /// The caller adds `home.askpass(..)` or the agent's environment.
    #[must_use]
    pub fn ssh(&self, home: &Home, arguments: &[&str], remote: &str) -> Command {
        let mut ssh = home.command("ssh");
        ssh.args(self.ssh_args())
            .args(arguments)
            .arg(self.destination())
            .arg(remote);
        ssh
    }

    /// Runs [`ssh`](Self::ssh) with `env` added and waits for the end.
    ///
    /// # Panics
    ///
    /// If `ssh` cannot be started.
    #[must_use]
    pub fn run(
        &self,
        home: &Home,
        env: &[(std::ffi::OsString, std::ffi::OsString)],
        arguments: &[&str],
        remote: &str,
    ) -> Output {
        self.ssh(home, arguments, remote)
            .envs(env.iter().map(|(name, value)| (name, value)))
            .output()
            .unwrap_or_else(|err| panic!("cannot start ssh: {err}"))
    }
}

fn server_config(dir: &Path, port: u16) -> String {
    let at = |name: &str| dir.join(name).display().to_string();
    format!(
        "ListenAddress 127.0.0.1\nPort {port}\nHostKey {}\nAuthorizedKeysFile {}\nPidFile none\n\
         AuthenticationMethods publickey\nPermitRootLogin prohibit-password\nUsePAM no\n\
         # Its directory is below /tmp, which others may write to.\nStrictModes no\n\
         # So that bash, when it runs a command, leaves the ~/.bashrc of this machine alone.\n\
         SetEnv SHLVL=1\n\
         # This key exchange is slow, and tests nothing of ours.\nKexAlgorithms -sntrup761*\n\
         MaxStartups 100\nMaxAuthTries 20\nPrintMotd no\nPrintLastLog no\nLogLevel VERBOSE\n",
        at("host_key"),
        at("authorized_keys"),
    )
}

fn greets(port: u16) -> bool {
    let greeting = || -> std::io::Result<[u8; 4]> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        let mut start = [0; 4];
        stream.read_exact(&mut start)?;
        Ok(start)
    };
    greeting().is_ok_and(|start| start == *b"SSH-")
}

fn text_of(command: &mut Command) -> String {
    let output = command
        .output()
        .unwrap_or_else(|err| panic!("cannot start {}: {err}", command.get_program().display()));
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}
