//! A virtual screen.

use std::{
    fs::{self, File},
    process::Command,
};

use tempfile::TempDir;

use crate::{
    home::search_path,
    process::{Daemon, command},
    temp::temp_dir,
    wait::poll,
};

/// An X server without hardware (`Xvfb`), which chooses its display number itself.
#[derive(Debug)]
pub struct Display {
    process: Option<Daemon>,
    number: String,
    _dir: TempDir,
}

impl Display {
    /// Starts a server with one screen of 1000 by 700 points and waits until it accepts clients.
    ///
    /// # Panics
    ///
    /// If `Xvfb` is not installed or does not start.
    #[must_use]
    pub fn start() -> Self {
        let dir = temp_dir("tpmssh-display-");
        let told = dir.path().join("number");
        let file = File::create(&told).expect("a fresh directory is writable");
        let log = dir.path().join("log");
        let mut server = command("Xvfb");
        server
            .args(["-displayfd", "1", "-screen", "0", "1000x700x24"])
            .args(["-nolisten", "tcp"])
            .env("PATH", search_path())
            .stdout(file)
            .stderr(File::create(&log).expect("a fresh directory is writable"));
        let mut process = Daemon::spawn("Xvfb", server);
        // It writes its number and a line feed when it is ready.
        let number = poll(|| {
            let text = fs::read_to_string(&told).unwrap_or_default();
            match text.strip_suffix('\n') {
                Some(number) => Some(number.to_owned()),
                None => process.ended().map(|_| String::new()),
            }
        });
        let number = number.filter(|number| !number.is_empty());
        let number = number.unwrap_or_else(|| {
            let log = fs::read_to_string(log).unwrap_or_default();
            panic!("Xvfb does not come up: {log}");
        });
        Self {
            process: Some(process),
            number,
            _dir: dir,
        }
    }

    /// Makes `command` a client of this server.
    pub fn show<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command.env("DISPLAY", format!(":{}", self.number))
    }
}

impl Drop for Display {
    fn drop(&mut self) {
        // With SIGTERM, so that it removes its socket and lock, whose names all users share.
        if let Some(process) = self.process.take() {
            process.terminate();
        }
    }
}
