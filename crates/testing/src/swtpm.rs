//! A private TPM simulator.

mod snapshot;

use std::{
    fs,
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    path::Path,
    time::Duration,
};

use rustix::process::Signal;
use tempfile::TempDir;

pub use snapshot::Snapshot;

use crate::{
    factory,
    port::Ports,
    process::{Daemon, command},
    temp::temp_dir,
    wait::poll,
};

/// `TPM2_ReadClock`: needs no authorization and changes nothing.
const READ_CLOCK: &[u8] = b"\x80\x01\x00\x00\x00\x0a\x00\x00\x01\x81";
/// `TPM2_Shutdown(TPM_SU_STATE)`.
const SUSPEND: &[u8] = b"\x80\x01\x00\x00\x00\x0c\x00\x00\x01\x45\x00\x01";
/// `TPM2_Shutdown(TPM_SU_CLEAR)`.
const SHUTDOWN: &[u8] = b"\x80\x01\x00\x00\x00\x0c\x00\x00\x01\x45\x00\x00";

/// A running `swtpm` with a state directory and loopback ports of its own.
///
/// Its data port takes plain TPM commands. The next port is the control channel that libtss2 needs.
/// It serves one data connection at a time. Ports and state stay the same after a
/// [`restart`](Self::restart).
#[derive(Debug)]
pub struct Swtpm {
    // Declared in the order in which they must be dropped: the process first.
    process: Option<Daemon>,
    ports: Ports,
    state: TempDir,
}

impl Swtpm {
    /// Starts a blank TPM and waits until it answers.
    ///
    /// # Panics
    ///
    /// If `swtpm` is not installed or does not start.
    #[must_use]
    pub fn start() -> Self {
        Self::with_state(temp_dir("tpmssh-swtpm-"))
    }

    /// Starts a TPM as a factory would ship it: EKs, EK certificates, platform certificate.
    ///
    /// RSA-2048 EK at 0x81010001 with its certificate in NV 0x01C00002, ECC P-384 EK at 0x81010016
    /// with its certificate in NV 0x01C00016, only the SHA-256 PCR bank active. The TPM is made
    /// once per process (about 2.5 s) and copied, so all of them in one process are the same TPM
    /// and cannot play two machines: [`Factory::chip`](crate::Factory::chip) makes another one.
    ///
    /// # Panics
    ///
    /// If `swtpm` or `swtpm_setup` is not installed or fails.
    #[must_use]
    pub fn manufactured() -> Self {
        Self::with_files(&factory::chip().0)
    }

    /// Starts a TPM with these files in its state directory.
    pub(crate) fn with_files(files: &[(String, Vec<u8>)]) -> Self {
        let state = temp_dir("tpmssh-swtpm-");
        for (name, content) in files {
            fs::write(state.path().join(name), content).expect("a fresh directory is writable");
        }
        Self::with_state(state)
    }

    /// The certificates of the authority that has certified [`manufactured`](Self::manufactured) TPMs, PEM: the one that
    /// signs first, then its root.
    ///
    /// # Panics
    ///
    /// As for [`manufactured`](Self::manufactured).
    #[must_use]
    pub fn maker_certificates() -> &'static str {
        &factory::chip().1
    }

    fn with_state(state: TempDir) -> Self {
        let mut swtpm = Self {
            process: None,
            ports: Ports::reserve(2),
            state,
        };
        swtpm.power_on();
        swtpm
    }

    /// The connection string: `swtpm:host=127.0.0.1,port=…`.
    #[must_use]
    pub fn tcti(&self) -> String {
        format!("swtpm:host=127.0.0.1,port={}", self.port())
    }

    /// The data port; the control port is the one after it.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.ports.first()
    }

    /// The directory that holds the TPM's permanent state.
    #[must_use]
    pub fn state_dir(&self) -> &Path {
        self.state.path()
    }

    /// The process id, while it runs.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Daemon::id)
    }

    /// Switches the TPM off orderly: `TPM2_Shutdown`, then the end of the process.
    ///
    /// If another connection is open or the TPM is paused, the `TPM2_Shutdown` fails after a
    /// second, and this is a power failure. Does nothing if the TPM is off.
    pub fn stop(&mut self) {
        if let Some(process) = self.process.take() {
            // A failed `TPM2_Shutdown` is the documented exception.
            let _ = self.send(SHUTDOWN, Duration::from_secs(1));
            process.signal(Signal::CONT);
            process.terminate();
        }
    }

    /// Cuts the TPM's power: SIGKILL. Does nothing if it is off.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// Switches it on with the same state and ports, after a [`stop`](Self::stop) if it is on.
    ///
    /// # Panics
    ///
    /// If it does not start.
    pub fn restart(&mut self) {
        self.stop();
        self.power_on();
    }

    /// Suspends and resumes it, as a machine does that sleeps: the TPM saves its state, loses its
    /// power, and restores that state.
    ///
    /// # Panics
    ///
    /// If it cannot save its state, or does not start.
    pub fn suspend_and_resume(&mut self) {
        let saved = self.send(SUSPEND, Duration::from_secs(5));
        let saved = saved.expect("nobody else is connected");
        assert_eq!(saved[6..], [0; 4], "TPM2_Shutdown");
        self.kill();
        self.start_with("not-need-init,startup-state");
    }

    /// Pauses it: it accepts connections and does not answer until [`resume`](Self::resume).
    ///
    /// # Panics
    ///
    /// If it is off.
    pub fn pause(&self) {
        self.running().signal(Signal::STOP);
    }

    /// Ends a [`pause`](Self::pause).
    ///
    /// # Panics
    ///
    /// If it is off.
    pub fn resume(&self) {
        self.running().signal(Signal::CONT);
    }

    fn running(&self) -> &Daemon {
        self.process.as_ref().expect("swtpm is switched off")
    }

    fn power_on(&mut self) {
        self.start_with("not-need-init,startup-clear");
    }

    /// Starts the process with these flags and waits until it answers.
    fn start_with(&mut self, flags: &str) {
        let port = self.port();
        let log = self.state.path().join("log");
        let mut swtpm = command("swtpm");
        swtpm
            .args(["socket", "--tpm2", "--flags", flags])
            .arg("--server")
            .arg(format!("type=tcp,port={port}"))
            .arg("--ctrl")
            .arg(format!("type=tcp,port={}", port + 1))
            .arg("--tpmstate")
            .arg(format!("dir={}", self.state.path().display()))
            .arg("--log")
            .arg(format!("file={},truncate", log.display()));
        let process = self.process.insert(Daemon::spawn("swtpm", swtpm));
        let mut answer = Ok([0; 10]);
        let ended = poll(|| {
            if let Some(status) = process.ended() {
                return Some(Some(status));
            }
            answer = exchange(port, READ_CLOCK, Duration::from_secs(5));
            matches!(answer, Ok([.., 0, 0, 0, 0])).then_some(None)
        });
        if ended != Some(None) {
            let log = fs::read_to_string(log).unwrap_or_default();
            let others = connections(port);
            panic!(
                "swtpm on port {port} does not answer ({ended:?}, {answer:x?}): {log}\n{others}"
            );
        }
    }

    fn send(&self, command: &[u8], patience: Duration) -> std::io::Result<[u8; 10]> {
        exchange(self.port(), command, patience)
    }
}

/// The TCP connections from and to `port`, as the kernel lists them: swtpm serves one at a time, so
/// another client may be the reason that it does not answer.
fn connections(port: u16) -> String {
    let list = fs::read_to_string("/proc/net/tcp").unwrap_or_default();
    let port = format!(":{port:04X} ");
    let ours = list.lines().filter(|line| line.contains(&port));
    ours.collect::<Vec<_>>().join("\n")
}

/// Sends one command over a connection of its own; returns the header of the response.
fn exchange(port: u16, command: &[u8], patience: Duration) -> std::io::Result<[u8; 10]> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut stream = TcpStream::connect_timeout(&address, patience)?;
    stream.set_read_timeout(Some(patience))?;
    stream.write_all(command)?;
    let mut header = [0; 10];
    stream.read_exact(&mut header)?;
    Ok(header)
}
