//! A private message bus.

use std::{fs, os::unix::net::UnixStream, path::Path, process::Stdio};

use tempfile::TempDir;

use crate::{
    process::{Daemon, command},
    temp::temp_dir,
    wait::poll,
};

/// A private `dbus-daemon` whose policy allows everything.
#[derive(Debug)]
pub struct Bus {
    // Declared in the order in which they must be dropped.
    process: Option<Daemon>,
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
        Self {
            process: Some(spawn(dir.path())),
            dir,
        }
    }

    /// Ends it with SIGKILL and starts another at the same address. All connections end.
    ///
    /// # Panics
    ///
    /// If it does not start.
    pub fn restart(&mut self) {
        // Dropping it kills it.
        self.process = None;
        let _ = fs::remove_file(self.dir.path().join("bus"));
        self.process = Some(spawn(self.dir.path()));
    }

    /// Its address, as `DBUS_SESSION_BUS_ADDRESS` has it: `unix:path=…`.
    #[must_use]
    pub fn address(&self) -> String {
        format!("unix:path={}", self.dir.path().join("bus").display())
    }
}

fn spawn(dir: &Path) -> Daemon {
    let socket = dir.join("bus");
    let config = dir.join("bus.conf");
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
    // The socket is there before anybody listens on it.
    poll(|| {
        let listens = UnixStream::connect(&socket).is_ok();
        (listens || process.ended().is_some()).then_some(())
    });
    process
}
