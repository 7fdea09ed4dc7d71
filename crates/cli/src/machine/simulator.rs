//! The user's own simulated TPM: one `swtpm` process and the directory of its state.

use std::env;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use rand_core::{OsRng, RngCore};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FlockOperation, flock};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use token_store::Kind;
use tpm_core::Tcti;

/// `TPM2_Shutdown(TPM_SU_CLEAR)`: without it the TPM takes the end for a power failure.
const SHUTDOWN: &[u8] = b"\x80\x01\x00\x00\x00\x0c\x00\x00\x01\x45\x00\x00";

/// `TPM2_ReadClock`: changes nothing and needs no authorization.
const READ_CLOCK: &[u8] = b"\x80\x01\x00\x00\x00\x0a\x00\x00\x01\x81";

/// How long swtpm may take to end, or to answer the shutdown command.
const PATIENCE: Duration = Duration::from_secs(5);

/// A failure of the simulator.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum Error {
    /// There is no place for its state.
    #[error("no home directory is known for this user")]
    NoHome,
    /// The program is not installed.
    #[error("swtpm is not installed")]
    NotInstalled,
    /// It was started and ended at once.
    #[error("swtpm does not start: {why}")]
    NotStarted {
        /// The last line that it logged; without one, what was seen.
        why: String,
    },
    /// It was asked to end and has not.
    #[error("swtpm does not end")]
    NotEnded,
    /// The directory belongs to somebody else, or others can enter it.
    #[error("unsafe path {}: it must be a directory of your own with mode 0700", path.display())]
    UnsafeDir {
        /// The directory.
        path: PathBuf,
    },
    /// The directory or a file in it cannot be used.
    #[error("cannot use {}", path.display())]
    Io {
        /// The directory or file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl Error {
    /// What sort of failure this is, which gives the exit code.
    pub(crate) fn kind(&self) -> Kind {
        match self {
            Self::NotInstalled | Self::NotStarted { .. } | Self::NotEnded => Kind::NoTpm,
            Self::NoHome => Kind::Failed,
            Self::UnsafeDir { .. } => Kind::UnsafePath,
            Self::Io { .. } => Kind::Disk,
        }
    }
}

type Result<T> = std::result::Result<T, Error>;

/// The simulator of a user, running or not.
#[derive(Debug)]
pub(crate) struct Simulator {
    dir: PathBuf,
}

/// A running simulator. The process cannot be mistaken for a later one of the same id.
#[derive(Debug)]
pub(crate) struct Running {
    process: OwnedFd,
    pub(crate) pid: i32,
    pub(crate) port: u16,
}

impl Running {
    /// Where it answers.
    pub(crate) fn tcti(&self) -> Tcti {
        Tcti::Swtpm {
            host: Ipv4Addr::LOCALHOST.into(),
            port: self.port,
        }
    }
}

impl Simulator {
    /// This user's: in `$XDG_DATA_HOME/tpmssh-simulator`, else `~/.local/share/tpmssh-simulator`.
    ///
    /// # Errors
    ///
    /// If neither variable names a directory.
    pub(crate) fn for_user() -> Result<Self> {
        // The XDG base directory specification wants relative paths ignored.
        let dir = |name| {
            env::var_os(name)
                .map(PathBuf::from)
                .filter(|dir| dir.is_absolute())
        };
        dir("XDG_DATA_HOME")
            .or_else(|| dir("HOME").map(|home| home.join(".local/share")))
            .map(|data| Self::below(&data))
            .ok_or(Error::NoHome)
    }

    /// The simulator whose state is below `data_home`, which is `$XDG_DATA_HOME` or its default.
    pub(crate) fn below(data_home: &Path) -> Self {
        Self {
            dir: data_home.join("tpmssh-simulator"),
        }
    }

    /// The directory that holds its state, its log and its process id.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// The running process, if there is one.
    ///
    /// The id in the file may by now belong to any process: only one whose command line
    /// names our state directory is ours.
    pub(crate) fn running(&self) -> Result<Option<Running>> {
        let path = self.dir.join("pid");
        let text = match fs::read_to_string(&path) {
            Err(err) if err.kind() == io::ErrorKind::NotFound => return Ok(None),
            text => text.map_err(|source| Error::Io { path, source })?,
        };
        let pid = text.trim().parse().ok().filter(|pid| *pid > 0);
        let Some(pid) = pid.and_then(Pid::from_raw) else {
            return Ok(None);
        };
        // Opened before the check, so that it refers to the process that is checked.
        let Ok(process) = pidfd_open(pid, PidfdFlags::empty()) else {
            return Ok(None);
        };
        let pid = pid.as_raw_nonzero().get();
        let cmdline = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        Ok(self
            .port_in(&cmdline)
            .map(|port| Running { process, pid, port }))
    }

    /// The data port in the command line of a process, if that is our swtpm.
    fn port_in(&self, cmdline: &[u8]) -> Option<u16> {
        let state = self.state_option();
        let args: Vec<&[u8]> = cmdline.split(|&byte| byte == 0).collect();
        if !args.first()?.ends_with(b"swtpm") || !args.contains(&state.as_bytes()) {
            return None;
        }
        let server = args.iter().position(|arg| *arg == b"--server")?;
        let server = str::from_utf8(args.get(server + 1)?).ok()?;
        server
            .split(',')
            .find_map(|option| option.strip_prefix("port="))?
            .parse()
            .ok()
    }

    fn state_option(&self) -> std::ffi::OsString {
        let mut option = std::ffi::OsString::from("dir=");
        option.push(self.dir.join("state"));
        option.push(",mode=0600");
        option
    }

    /// Starts swtpm unless it runs; the port is `preferred`, if that is free.
    ///
    /// Its state is what it was when it was last stopped.
    ///
    /// # Errors
    ///
    /// If swtpm is not installed or does not start, or the directory is unsafe.
    pub(crate) fn start(&self, preferred: Option<u16>) -> Result<Running> {
        let _lock = self.lock()?;
        if let Some(running) = self.running()? {
            return Ok(running);
        }
        private_dir(&self.dir.join("state"))?;
        let mut seen = "no port is free".to_owned();
        // Somebody else may take a free port before swtpm does.
        for port in preferred
            .into_iter()
            .chain((0..5).filter_map(|_| free_ports()))
        {
            // It writes its process id before it answers, but after it has gone to the background.
            let status = self.spawn(port)?;
            if !status.success() {
                seen = status.to_string();
            } else if let Err(err) = exchange(port, READ_CLOCK) {
                seen = err.to_string();
            } else if let Some(running) = self.running()? {
                return Ok(running);
            } else {
                "it ended at once".clone_into(&mut seen);
            }
        }
        let log = fs::read_to_string(self.dir.join("log")).unwrap_or_default();
        let why = log.lines().last().map_or(seen, str::to_owned);
        Err(Error::NotStarted { why })
    }

    /// Runs swtpm, which puts itself into the background once it listens.
    fn spawn(&self, port: u16) -> Result<ExitStatus> {
        let status = Command::new("swtpm")
            .args(["socket", "--tpm2", "--daemon"])
            .args(["--flags", "not-need-init,startup-clear"])
            .arg("--server")
            .arg(format!("type=tcp,port={port},bindaddr=127.0.0.1"))
            .arg("--ctrl")
            .arg(format!("type=tcp,port={},bindaddr=127.0.0.1", port + 1))
            .arg("--tpmstate")
            .arg(self.state_option())
            .arg("--pid")
            .arg(with_path("file=", &self.dir.join("pid"), ""))
            .arg("--log")
            .arg(with_path("file=", &self.dir.join("log"), ",truncate"))
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        match status {
            Ok(status) => Ok(status),
            Err(err) if err.kind() == io::ErrorKind::NotFound => Err(Error::NotInstalled),
            Err(source) => {
                let path = "swtpm".into();
                Err(Error::Io { path, source })
            }
        }
    }

    /// Switches the simulator off in good order; its state is kept.
    ///
    /// Returns whether it ran.
    ///
    /// # Errors
    ///
    /// If it does not end within five seconds.
    pub(crate) fn stop(&self) -> Result<bool> {
        if !self.dir.exists() {
            return Ok(false);
        }
        let _lock = self.lock()?;
        let Some(running) = self.running()? else {
            return Ok(false);
        };
        // If another program keeps it busy, it ends as in a power failure.
        if let Err(err) = exchange(running.port, SHUTDOWN) {
            log::warn!("the simulated TPM was not shut down in order: {err}");
        }
        let failed = |err: rustix::io::Errno| Error::Io {
            path: format!("/proc/{}", running.pid).into(),
            source: err.into(),
        };
        pidfd_send_signal(&running.process, Signal::TERM).map_err(failed)?;
        if !ended(&running.process).map_err(failed)? {
            return Err(Error::NotEnded);
        }
        let _ = fs::remove_file(self.dir.join("pid"));
        Ok(true)
    }

    /// Keeps a second `start` or `stop` of this user waiting.
    fn lock(&self) -> Result<File> {
        private_dir(&self.dir)?;
        let path = self.dir.join("lock");
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&path)
            .and_then(|file| {
                flock(&file, FlockOperation::LockExclusive)?;
                Ok(file)
            });
        lock.map_err(|source| Error::Io { path, source })
    }
}

fn with_path(before: &str, path: &Path, after: &str) -> std::ffi::OsString {
    let mut option = std::ffi::OsString::from(before);
    option.push(path);
    option.push(after);
    option
}

/// Makes `path` with mode 0700, or checks that it is a directory of this user with that mode.
fn private_dir(path: &Path) -> Result<()> {
    let failed = |source| Error::Io {
        path: path.into(),
        source,
    };
    let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(failed)?;
    let meta = fs::symlink_metadata(path).map_err(failed)?;
    let me = rustix::process::geteuid().as_raw();
    if meta.is_dir() && meta.uid() == me && meta.mode() & 0o077 == 0 {
        Ok(())
    } else {
        Err(Error::UnsafeDir { path: path.into() })
    }
}

/// A free loopback port whose successor, which libtss2 expects the control channel on, is free too.
///
/// Below the ports that Linux gives to clients (ip(7), `ip_local_port_range`): each connection that has
/// just ended keeps one of those, so that after some ten thousand no pair of them is free.
fn free_ports() -> Option<u16> {
    (0..100).find_map(|_| {
        let port = 10_000 + u16::try_from(OsRng.next_u32() % 22_000).ok()?;
        let is_free = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok();
        (is_free(port) && is_free(port + 1)).then_some(port)
    })
}

/// Sends one command and waits for the header of the answer.
fn exchange(port: u16, command: &[u8]) -> io::Result<()> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(command)?;
    stream.read_exact(&mut [0; 10])
}

/// Waits until the process is gone.
fn ended(process: impl AsFd) -> rustix::io::Result<bool> {
    let mut fds = [PollFd::new(&process, PollFlags::IN)];
    let timeout = Timespec {
        tv_sec: PATIENCE.as_secs().cast_signed(),
        tv_nsec: 0,
    };
    Ok(rustix::io::retry_on_intr(|| poll(&mut fds, Some(&timeout)))? > 0)
}

#[cfg(test)]
mod tests {
    use testing::assert_matches;

    use super::*;

    /// The ports of clients begin at 32768, and are taken for a minute after each connection.
    #[test]
    fn a_pair_of_ports_is_free_and_below_those_of_clients() {
        for _ in 0..100 {
            let port = free_ports().expect("there are many");
            assert!((10_000..32_767).contains(&port), "{port}");
            let both = [port, port + 1].map(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)));
            // Another test may have one by now.
            assert!(both.iter().any(io::Result::is_ok), "{both:?}");
        }
    }

    #[test]
    fn only_a_process_with_our_state_directory_is_ours() {
        let simulator = Simulator::below(Path::new("/home/anna/.local/share"));
        let line = |program: &str, state: &str| {
            format!(
                "{program}\0socket\0--server\0type=tcp,port=4711,bindaddr=127.0.0.1\0--tpmstate\0dir={state},mode=0600\0"
            )
        };
        let ours = "/home/anna/.local/share/tpmssh-simulator/state";
        assert_eq!(
            simulator.port_in(line("swtpm", ours).as_bytes()),
            Some(4711)
        );
        assert_eq!(
            simulator.port_in(line("/usr/bin/swtpm", ours).as_bytes()),
            Some(4711)
        );
        assert_eq!(
            simulator.port_in(line("swtpm", "/home/eve/state").as_bytes()),
            None
        );
        assert_eq!(simulator.port_in(line("vi", ours).as_bytes()), None);
        assert_eq!(simulator.port_in(b""), None);
    }

    #[test]
    fn a_stale_process_id_is_not_taken_for_the_simulator() {
        let home = tempfile::tempdir().unwrap();
        let simulator = Simulator::below(home.path());
        private_dir(simulator.dir()).unwrap();
        for pid in [
            std::process::id().to_string(),
            "0".into(),
            "-1".into(),
            "x".into(),
        ] {
            fs::write(simulator.dir().join("pid"), &pid).unwrap();
            assert!(simulator.running().unwrap().is_none(), "{pid}");
        }
        assert!(!simulator.stop().unwrap());
    }

    #[test]
    fn a_directory_that_others_can_enter_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let home = tempfile::tempdir().unwrap();
        let dir = home.path().join("open");
        private_dir(&dir).unwrap();
        fs::set_permissions(&dir, fs::Permissions::from_mode(0o755)).unwrap();
        assert_matches!(private_dir(&dir), Err(Error::UnsafeDir { .. }));
    }
}
