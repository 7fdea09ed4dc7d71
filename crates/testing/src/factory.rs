//! Makers of TPMs: endorsement keys and their certificates.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

use tempfile::TempDir;

use crate::{Swtpm, temp::temp_dir};

/// A maker of TPMs, with a certificate authority of its own. Each of its chips is a different one.
///
/// ```no_run
/// use testing::Factory;
///
/// let factory = Factory::new();
/// let (one, other) = (factory.chip(), factory.chip());
/// # let _ = (one, other, factory.certificates());
/// ```
#[derive(Debug)]
pub struct Factory {
    dir: TempDir,
    config: PathBuf,
    rsa_bits: u16,
}

/// What `swtpm_setup` leaves in the state directory: names and contents of the files.
type State = Vec<(String, Vec<u8>)>;

impl Default for Factory {
    fn default() -> Self {
        Self::new()
    }
}

impl Factory {
    /// A maker of chips with an RSA key of 2048 bits and one on P-384. Its authority is made with the first chip.
    #[must_use]
    pub fn new() -> Self {
        let dir = temp_dir("tpmssh-factory-");
        let config = configure_ca(dir.path());
        Self {
            dir,
            config,
            rsa_bits: 2048,
        }
    }

    /// With RSA keys of so many bits: 2048 (low range) or 3072 (high range).
    #[must_use]
    pub fn with_rsa_bits(self, rsa_bits: u16) -> Self {
        Self { rsa_bits, ..self }
    }

    /// A new chip, which takes some seconds.
    ///
    /// # Panics
    ///
    /// If `swtpm` or `swtpm_setup` is not installed or fails.
    #[must_use]
    pub fn chip(&self) -> Swtpm {
        Swtpm::with_files(&self.make())
    }

    /// The certificates of the authority, PEM: the one that signs first, then its root.
    ///
    /// # Panics
    ///
    /// If there is no chip yet.
    #[must_use]
    pub fn certificates(&self) -> String {
        let certificate = |name: &str| {
            fs::read_to_string(self.dir.path().join("ca").join(name))
                .expect("the authority has a certificate once there is a chip")
        };
        certificate("issuercert.pem") + &certificate("swtpm-localca-rootca-cert.pem")
    }

    fn make(&self) -> State {
        let own = temp_dir("tpmssh-setup-");
        let output = Command::new("swtpm_setup")
            .args([
                "--tpm2",
                "--create-ek-cert",
                "--create-platform-cert",
                "--lock-nvram",
            ])
            .args(["--vmid", "tpmssh-test"])
            .args(["--rsa-keysize", &self.rsa_bits.to_string()])
            .arg("--tpmstate")
            .arg(own.path())
            .arg("--config")
            .arg(&self.config)
            .env("HOME", self.dir.path())
            .env("XDG_CONFIG_HOME", self.dir.path())
            .output()
            .unwrap_or_else(|err| panic!("cannot start swtpm_setup (package swtpm-tools): {err}"));
        assert!(
            output.status.success(),
            "swtpm_setup failed: {}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
        );
        fs::read_dir(own.path())
            .expect("the state directory is there")
            .map(|entry| entry.expect("the state directory is readable"))
            .filter(|entry| entry.file_name().to_string_lossy().ends_with(".permall"))
            .map(|entry| {
                let name = entry.file_name().to_string_lossy().into_owned();
                (name, fs::read(entry.path()).expect("the state is readable"))
            })
            .collect()
    }
}

/// The chip of this process, made once and kept in memory, and the certificates of its maker.
pub(crate) fn chip() -> &'static (State, String) {
    static CHIP: OnceLock<(State, String)> = OnceLock::new();
    CHIP.get_or_init(|| {
        let factory = Factory::new();
        (factory.make(), factory.certificates())
    })
}

/// Writes the configuration of a private certificate authority, because the packaged one has its
/// keys in a system directory of another user. Returns its path.
fn configure_ca(dir: &Path) -> PathBuf {
    let at = |name: &str| dir.join(name).display().to_string();
    let write = |name: &str, content: String| {
        fs::write(dir.join(name), content).expect("a fresh directory is writable");
    };
    fs::create_dir(dir.join("ca")).expect("a fresh directory is writable");
    write(
        "ca.conf",
        format!(
            "statedir = {}\nsigningkey = {}\nissuercert = {}\ncertserial = {}\n",
            at("ca"),
            at("ca/signkey.pem"),
            at("ca/issuercert.pem"),
            at("ca/certserial"),
        ),
    );
    write(
        "ca.options",
        "--platform-manufacturer tpmssh\n--platform-version 1\n--platform-model test\n".into(),
    );
    write(
        "setup.conf",
        format!(
            "create_certs_tool = swtpm_localca\ncreate_certs_tool_config = {}\n\
             create_certs_tool_options = {}\nactive_pcr_banks = sha256\n",
            at("ca.conf"),
            at("ca.options"),
        ),
    );
    dir.join("setup.conf")
}
