//! A message bus of one's own.

use std::{fs, process::Stdio};

use tempfile::TempDir;

use crate::{
    process::{Daemon, command, poll},
    temp::temp_dir,
};

/// A private `dbus-daemon` that lets everybody do everything.
#[derive(Debug)]
pub struct Bus {
    // In the order of dropping.
    _process: Daemon,
    dir: TempDir,
}

impl Bus {
    /// Starts a bus and waits until it listens.
    ///
    /// # Panics
    ///
    /// If `dbus-daemon` is not installed or does not start.
    #[must_use]
    pub fn start() -> Self {
        let dir = temp_dir("tpmssh-bus-");
        let socket = dir.path().join("bus");
        let config = dir.path().join("bus.conf");
        let text = format!(
            "<busconfig><type>session</type><listen>unix:path={}</listen><auth>EXTERNAL</auth>\
             <policy context=\"default\"><allow send_destination=\"*\" eavesdrop=\"true\"/>\
             <allow eavesdrop=\"true\"/><allow own=\"*\"/></policy></busconfig>\n",
            socket.display()
        );
        fs::write(&config, text).expect("a fresh directory is writable");
        let mut bus = command("dbus-daemon");
        bus.arg("--nofork").arg("--config-file").arg(&config);
        bus.stderr(Stdio::null());
        let mut process = Daemon::spawn("dbus-daemon", bus);
        poll(|| (socket.exists() || process.ended().is_some()).then_some(()));
        Self {
            _process: process,
            dir,
        }
    }

    /// Its address, as `DBUS_SESSION_BUS_ADDRESS` has it: `unix:path=…`.
    #[must_use]
    pub fn address(&self) -> String {
        format!("unix:path={}", self.dir.path().join("bus").display())
    }
}
