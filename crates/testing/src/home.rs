//! A temporary home directory, and the environment for programs that use it.

use std::{
    ffi::{OsStr, OsString},
    fs::{self, DirBuilder, OpenOptions},
    io::Write,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use tempfile::TempDir;

use crate::{process, temp::temp_dir, watchdog};

/// A temporary home directory (mode 0700, as all directories in it).
#[derive(Debug)]
pub struct Home {
    dir: TempDir,
    tcti: Option<String>,
}

impl Home {
    /// Makes a home without a configured TPM.
    ///
    /// # Panics
    ///
    /// If no temporary directory can be made.
    #[must_use]
    pub fn new() -> Self {
        watchdog::start();
        let dir = temp_dir("tpmssh-home-");
        let home = Self { dir, tcti: None };
        for name in [
            ".ssh",
            ".config",
            ".cache",
            ".local/share",
            ".local/state",
            "run",
        ] {
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(home.path().join(name))
                .expect("a fresh directory is writable");
        }
        home
    }

    /// Makes a home whose programs use the TPM at `tcti`, by `TPMSSH_TCTI`.
    ///
    /// # Panics
    ///
    /// If no temporary directory can be made.
    #[must_use]
    pub fn with_tcti(tcti: impl Into<String>) -> Self {
        let mut home = Self::new();
        home.set_tcti(tcti);
        home
    }

    /// Sets another TPM for programs that are started from now on.
    pub fn set_tcti(&mut self, tcti: impl Into<String>) {
        self.tcti = Some(tcti.into());
    }

    /// The home directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// The store directory, `$TPMSSH_STORE`. Its parent exists; the program makes the directory
    /// itself.
    #[must_use]
    pub fn store(&self) -> PathBuf {
        self.path().join(".local/share/tpmssh")
    }

    /// The configuration file, `$XDG_CONFIG_HOME/tpmssh/config.toml`, which need not exist.
    #[must_use]
    pub fn config(&self) -> PathBuf {
        self.path().join(".config/tpmssh/config.toml")
    }

    /// The variables that make a program use this home: `HOME`, `XDG_*`, `TPMSSH_*`.
    ///
    /// `TPMSSH_TEST_KDF`, which makes tokens of tests cheap, is passed on if it is set.
    #[must_use]
    pub fn env(&self) -> Vec<(OsString, OsString)> {
        let at = |name: &str| self.path().join(name).into_os_string();
        let mut env = vec![
            ("HOME".into(), self.path().into()),
            ("XDG_CONFIG_HOME".into(), at(".config")),
            ("XDG_CACHE_HOME".into(), at(".cache")),
            ("XDG_DATA_HOME".into(), at(".local/share")),
            ("XDG_STATE_HOME".into(), at(".local/state")),
            ("XDG_RUNTIME_DIR".into(), at("run")),
            ("TPMSSH_STORE".into(), self.store().into_os_string()),
        ];
        if let Some(tcti) = &self.tcti {
            env.push(("TPMSSH_TCTI".into(), tcti.into()));
        }
        if let Some(cost) = std::env::var_os(TEST_KDF) {
            env.push((TEST_KDF.into(), cost));
        }
        env
    }

    /// A command that runs in this home with [`env`](Self::env) and nothing else of the caller's
    /// environment but `PATH`, and without standard input.
    #[must_use]
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        self.confine(&mut command);
        command
    }

    /// Gives a command the same environment and standard input as [`command`](Self::command) does.
    pub(crate) fn confine(&self, command: &mut Command) {
        command
            .env_clear()
            .env("PATH", search_path())
            .env("LC_ALL", "C.UTF-8")
            // git leaves public keys there after it has signed.
            .env("TMPDIR", self.path())
            .envs(self.env())
            .current_dir(self.path())
            .stdin(Stdio::null());
    }

    /// The same for a program that runs in the background: it dies with the test program.
    #[must_use]
    pub fn daemon(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = process::command(program);
        self.confine(&mut command);
        command
    }

    /// Writes a file of mode 0600, such as a PIN for `--pin-file`; returns its path.
    ///
    /// # Panics
    ///
    /// If the file cannot be written.
    pub fn secret_file(&self, name: &str, content: &str) -> PathBuf {
        self.write(name, 0o600, content)
    }

    /// Writes a program of mode 0700, such as a shell script; returns its path.
    ///
    /// Another process writes it. If this process had it open for writing while another test starts
    /// a child, the child would have it open too, and the program could not be executed ("text file
    /// busy").
    ///
    /// # Panics
    ///
    /// If it cannot be written.
    pub fn script(&self, name: &str, content: &str) -> PathBuf {
        let path = self.path().join(name);
        let mut install = Command::new("install")
            .args(["-m", "700", "/dev/stdin"])
            .arg(&path)
            .stdin(Stdio::piped())
            .spawn()
            .expect("install starts");
        let mut stdin = install.stdin.take().expect("it is a pipe");
        stdin
            .write_all(content.as_bytes())
            .expect("install reads its input");
        drop(stdin);
        let installed = install.wait().expect("install ends");
        assert!(installed.success(), "cannot write {}", path.display());
        path
    }

    /// The variables that make OpenSSH take the PIN from a file: `SSH_ASKPASS` is a script that
    /// prints `pin_file`, and `SSH_ASKPASS_REQUIRE=force` lets ssh use it without a display.
    ///
    /// # Panics
    ///
    /// If the script cannot be written.
    #[must_use]
    pub fn askpass(&self, pin_file: &Path) -> Vec<(OsString, OsString)> {
        let name = pin_file.file_name().unwrap_or_default().to_string_lossy();
        let script = format!("#!/bin/sh\nexec cat '{}'\n", pin_file.display());
        let script = self.write(&format!("askpass-{name}"), 0o700, &script);
        vec![
            ("SSH_ASKPASS".into(), script.into_os_string()),
            ("SSH_ASKPASS_REQUIRE".into(), "force".into()),
        ]
    }

    fn write(&self, name: &str, mode: u32, content: &str) -> PathBuf {
        let path = self.path().join(name);
        // Opening an existing file of that name would keep its mode.
        let _ = fs::remove_file(&path);
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(&path)
            .and_then(|mut file| file.write_all(content.as_bytes()))
            .unwrap_or_else(|err| panic!("cannot write {}: {err}", path.display()));
        path
    }
}

/// Set by `cargo xtask test`.
const TEST_KDF: &str = "TPMSSH_TEST_KDF";

impl Default for Home {
    fn default() -> Self {
        Self::new()
    }
}

/// The caller's `PATH` and the directories of system programs, which are not in a user's `PATH`
/// everywhere.
pub(crate) fn search_path() -> OsString {
    let mut path = std::env::var_os("PATH").unwrap_or_default();
    path.push(":/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin");
    path
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path)
            .expect("it is there")
            .permissions()
            .mode()
            & 0o7777
    }

    #[test]
    fn a_program_sees_this_home_and_nothing_of_the_callers_environment() {
        let home = Home::with_tcti("swtpm:host=127.0.0.1,port=1");
        let output = home.command("env").output().expect("env runs");
        let text = String::from_utf8(output.stdout).expect("text");
        let mut names: Vec<&str> = text.lines().filter_map(|l| l.split('=').next()).collect();
        names.sort_unstable();
        names.retain(|name| *name != TEST_KDF);
        assert_eq!(
            names,
            [
                "HOME",
                "LC_ALL",
                "PATH",
                "TMPDIR",
                "TPMSSH_STORE",
                "TPMSSH_TCTI",
                "XDG_CACHE_HOME",
                "XDG_CONFIG_HOME",
                "XDG_DATA_HOME",
                "XDG_RUNTIME_DIR",
                "XDG_STATE_HOME",
            ]
        );
        assert!(text.contains(&format!("HOME={}\n", home.path().display())));
        assert!(text.contains("TPMSSH_TCTI=swtpm:host=127.0.0.1,port=1\n"));
    }

    #[test]
    fn directories_and_secrets_are_private() {
        let home = Home::new();
        for name in ["", ".ssh", ".config", ".local", ".local/share", "run"] {
            assert_eq!(mode(&home.path().join(name)), 0o700, "{name}");
        }
        let pin = home.secret_file("pin", "123456");
        assert_eq!(mode(&pin), 0o600);
        fs::set_permissions(&pin, fs::Permissions::from_mode(0o644)).expect("ours");
        assert_eq!(mode(&home.secret_file("pin", "654321")), 0o600);
        assert_eq!(fs::read_to_string(&pin).expect("ours"), "654321");
    }

    #[test]
    fn the_askpass_script_prints_the_pin() {
        let home = Home::new();
        let pin = home.secret_file("pin", "123456");
        let env = home.askpass(&pin);
        let script = &env
            .iter()
            .find(|(name, _)| name == "SSH_ASKPASS")
            .expect("set")
            .1;
        let output = home.command(script).output().expect("the script runs");
        assert_eq!(output.stdout, b"123456");
    }

    #[test]
    fn a_dropped_home_is_gone() {
        let home = Home::new();
        let path = home.path().to_owned();
        drop(home);
        assert!(!path.exists());
    }
}
