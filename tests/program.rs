//! `tpmssh` in a home and with a TPM of its own.

use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use testing::{Home, Swtpm};

mod prepared;

pub(crate) use prepared::Prepared;

/// The user PIN of every test.
pub(crate) const PIN: &str = "correct horse";

/// The SO PIN of every test.
pub(crate) const SO_PIN: &str = "battery staple";

/// A home, the TPM that its programs use, and files with the right PINs.
pub(crate) struct Program {
    pub(crate) home: Home,
    pub(crate) swtpm: Swtpm,
    pub(crate) pin: String,
    pub(crate) so_pin: String,
}

impl Program {
    pub(crate) fn new() -> Self {
        Self::with_tpm(Swtpm::start())
    }

    /// One with a TPM that is already running.
    pub(crate) fn with_tpm(swtpm: Swtpm) -> Self {
        let home = Home::with_tcti(swtpm.tcti());
        home.secret_file("pin", PIN);
        home.secret_file("so-pin", SO_PIN);
        Self::in_home(home, swtpm)
    }

    /// One in a home that has the files with the PINs.
    fn in_home(home: Home, swtpm: Swtpm) -> Self {
        let [pin, so_pin] = ["pin", "so-pin"].map(|name| text(home.path().join(name)));
        Self {
            home,
            swtpm,
            pin,
            so_pin,
        }
    }

    /// One with the token `work`; all of them have the same TPM.
    pub(crate) fn with_token() -> Self {
        static WITH_TOKEN: Prepared = Prepared::new();
        WITH_TOKEN.copy(Self::new_with_token)
    }

    fn new_with_token() -> Self {
        let program = Self::new();
        program.init("work");
        program
    }

    /// One with the token `work` and the ECDSA key `first` in it; all of them have the same TPM.
    pub(crate) fn with_key() -> Self {
        static WITH_KEY: Prepared = Prepared::new();
        WITH_KEY.copy(|| {
            let program = Self::with_token();
            program.keygen("first");
            program
        })
    }

    /// The same on a TPM of its own: another machine, or a key that is made now.
    pub(crate) fn new_with_key() -> Self {
        let program = Self::new_with_token();
        program.keygen("first");
        program
    }

    pub(crate) fn init(&self, label: &str) {
        let [pin, so_pin] = [&self.pin, &self.so_pin];
        self.run(&[
            "token",
            "init",
            "--label",
            label,
            "--pin-file",
            pin,
            "--so-pin-file",
            so_pin,
        ])
        .ok();
    }

    pub(crate) fn keygen(&self, label: &str) -> String {
        self.run(&["keygen", "--label", label, "--pin-file", &self.pin])
            .ok()
    }

    pub(crate) fn command(&self) -> Command {
        tpmssh(&self.home)
    }

    pub(crate) fn run(&self, args: &[&str]) -> Outcome {
        Outcome::of(self.command().args(args))
    }

    pub(crate) fn run_with_input(&self, args: &[&str], input: &[u8]) -> Outcome {
        Outcome::with_input(self.command().args(args), input)
    }

    /// A file that only this user can read; its path for the command line.
    pub(crate) fn secret(&self, name: &str, content: &str) -> String {
        text(self.home.secret_file(name, content))
    }
}

/// Whether this machine has a TPM of its own.
pub(crate) fn machine_has_tpm() -> bool {
    let mut devices = fs::read_dir("/dev").unwrap();
    devices.any(|device| {
        let name = device.unwrap().file_name();
        name.to_str().is_some_and(|name| name.starts_with("tpm"))
    })
}

/// The built program in `home`.
pub(crate) fn tpmssh(home: &Home) -> Command {
    home.command(env!("CARGO_BIN_EXE_tpmssh"))
}

/// A path as text.
pub(crate) fn text(path: PathBuf) -> String {
    path.into_os_string().into_string().unwrap()
}

/// How a program ended and what it wrote.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Outcome {
    pub(crate) fn of(command: &mut Command) -> Self {
        let output = command.output().unwrap();
        Self {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    pub(crate) fn with_input(command: &mut Command, input: &[u8]) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let output = std::thread::scope(|scope| {
            // In a thread of its own, because a program may write before it has read everything. It is
            // no failure if it does not read everything.
            scope.spawn(move || stdin.write_all(input));
            child.wait_with_output().unwrap()
        });
        Self {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// What it wrote to stdout, if it succeeded.
    #[track_caller]
    pub(crate) fn ok(self) -> String {
        assert_eq!(self.code, Some(0), "{self:#?}");
        self.stdout
    }

    /// Checks that it failed with exactly this code, these lines and no data.
    #[track_caller]
    pub(crate) fn fails(self, code: i32, stderr: &str) {
        let got = (self.code, self.stderr.as_str(), self.stdout.as_str());
        assert_eq!(got, (Some(code), stderr, ""), "{self:#?}");
    }
}

/// Runs any program; its output, if it succeeded.
#[track_caller]
pub(crate) fn run(program: impl AsRef<OsStr>, args: &[&str]) -> String {
    Outcome::of(Command::new(program).args(args)).ok()
}
