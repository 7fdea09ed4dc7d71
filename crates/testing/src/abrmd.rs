//! The user-space resource manager tpm2-abrmd, on a private message bus.

use std::{ffi::OsString, fs, path::Path, process::Stdio};

use rustix::process::Signal;
use tempfile::TempDir;

use crate::{
    Bus, Swtpm, Tap,
    home::search_path,
    process::{Daemon, command},
    temp::temp_dir,
    wait::poll,
};

/// The name under which the resource manager is on its bus.
const BUS_NAME: &str = "com.intel.tss2.Tabrmd";

/// `tpm2-abrmd` in front of a TPM, with a private `dbus-daemon`.
///
/// No bus of the system or of the user is used. A client needs [`env`](Self::env) besides
/// [`tcti`](Self::tcti).
#[derive(Debug)]
pub struct Abrmd {
    // Declared in the order in which they must be dropped.
    manager: Option<Daemon>,
    bus: Bus,
    /// The TPM's connection string.
    tpm: String,
    dir: TempDir,
}

impl Abrmd {
    /// Starts a resource manager in front of `swtpm` and waits until it is on its bus. From then on
    /// it accepts calls, and answers them as soon as it has initialized its TPM.
    ///
    /// # Panics
    ///
    /// If `dbus-daemon` or `tpm2-abrmd` is not installed or does not start.
    #[must_use]
    pub fn start(swtpm: &Swtpm) -> Self {
        Self::over(&swtpm.tcti())
    }

    /// The same in front of a [`Tap`], which then sees the manager's own commands as well.
    ///
    /// # Panics
    ///
    /// As [`start`](Self::start).
    #[must_use]
    pub fn behind(tap: &Tap) -> Self {
        Self::over(&tap.tcti())
    }

    fn over(tcti: &str) -> Self {
        let bus = Bus::start();
        let dir = temp_dir("tpmssh-abrmd-");
        let manager = Some(spawn(&bus, tcti, dir.path(), &[]));
        let tpm = tcti.to_owned();
        Self {
            manager,
            bus,
            tpm,
            dir,
        }
    }

    /// Starts a new manager, after [`kill`](Self::kill) if one runs. All connections end, and
    /// objects that were loaded over them are lost.
    ///
    /// # Panics
    ///
    /// As [`start`](Self::start).
    pub fn restart(&mut self) {
        self.kill();
        self.manager = Some(spawn(&self.bus, &self.tpm, self.dir.path(), &[]));
    }

    /// As [`restart`](Self::restart), with `--flush-all`: the new manager first flushes all objects
    /// and sessions. A killed one leaves them in the TPM, where each keeps a slot.
    ///
    /// # Panics
    ///
    /// As [`start`](Self::start).
    pub fn restart_and_flush(&mut self) {
        self.kill();
        let flush = &["--flush-all"];
        self.manager = Some(spawn(&self.bus, &self.tpm, self.dir.path(), flush));
    }

    /// Ends the bus with SIGKILL, which ends the manager too, and starts both again.
    ///
    /// # Panics
    ///
    /// As [`start`](Self::start).
    pub fn restart_bus(&mut self) {
        self.manager = None;
        self.bus.restart();
        self.manager = Some(spawn(&self.bus, &self.tpm, self.dir.path(), &[]));
    }

    /// Stops the manager: it is on the bus and never answers, until [`resume`](Self::resume).
    ///
    /// # Panics
    ///
    /// If it was killed.
    pub fn pause(&self) {
        self.running().signal(Signal::STOP);
    }

    /// Ends a [`pause`](Self::pause).
    ///
    /// # Panics
    ///
    /// If it was killed.
    pub fn resume(&self) {
        self.running().signal(Signal::CONT);
    }

    fn running(&self) -> &Daemon {
        self.manager.as_ref().expect("the manager was killed")
    }

    /// Ends the manager with SIGKILL, and waits until the bus knows; the bus stays.
    pub fn kill(&mut self) {
        self.manager = None;
        poll(|| (!on_the_bus(&self.bus)).then_some(()));
    }

    /// The connection string: `tabrmd:bus_name=…,bus_type=session`.
    #[must_use]
    pub fn tcti(&self) -> String {
        format!("tabrmd:bus_name={BUS_NAME},bus_type=session")
    }

    /// The variable by which a client finds the bus.
    #[must_use]
    pub fn env(&self) -> Vec<(OsString, OsString)> {
        vec![("DBUS_SESSION_BUS_ADDRESS".into(), self.bus_address().into())]
    }

    /// The bus's address, the value of `DBUS_SESSION_BUS_ADDRESS`.
    #[must_use]
    pub fn bus_address(&self) -> String {
        self.bus.address()
    }
}

/// Starts a manager of the TPM at `tcti` on the running `bus`, with further `options`.
fn spawn(bus: &Bus, tcti: &str, dir: &Path, options: &[&str]) -> Daemon {
    let log = dir.join("log");
    let file = fs::File::create(&log).expect("a fresh directory is writable");
    let mut manager = command("tpm2-abrmd");
    manager
        .args(options)
        .args(["--session", "--dbus-name", BUS_NAME])
        .arg(format!("--tcti={tcti}"))
        .env("PATH", search_path())
        .env("DBUS_SESSION_BUS_ADDRESS", bus.address())
        .stdout(Stdio::null())
        .stderr(file);
    if rustix::process::getuid().is_root() {
        manager.arg("--allow-root");
    }
    let mut manager = Daemon::spawn("tpm2-abrmd", manager);
    let up = poll(|| match manager.ended() {
        Some(_) => Some(false),
        None => on_the_bus(bus).then_some(true),
    });
    if up != Some(true) {
        let log = fs::read_to_string(log).unwrap_or_default();
        panic!("tpm2-abrmd does not come up: {log}");
    }
    manager
}

/// Whether the resource manager has its name by now.
fn on_the_bus(bus: &Bus) -> bool {
    let output = std::process::Command::new("dbus-send")
        .arg(format!("--bus={}", bus.address()))
        .args([
            "--print-reply=literal",
            "--dest=org.freedesktop.DBus",
            "/org/freedesktop/DBus",
        ])
        .arg("org.freedesktop.DBus.NameHasOwner")
        .arg(format!("string:{BUS_NAME}"))
        .output();
    output.is_ok_and(|output| String::from_utf8_lossy(&output.stdout).contains("true"))
}
