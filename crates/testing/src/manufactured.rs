//! The state of a TPM from the factory: endorsement keys and their certificates.

use std::{fs, path::Path, process::Command, sync::OnceLock};

use crate::temp::temp_dir;

/// What a factory makes: a chip, and the authority that certifies it.
pub(crate) struct Manufactured {
    /// The files of the state directory, with their names.
    pub(crate) state: Vec<(String, Vec<u8>)>,
    /// The certificates of the authority, PEM: the one that signs first, then its root.
    pub(crate) roots: String,
}

/// The chip of this process, made once and kept in memory.
pub(crate) fn chip() -> &'static Manufactured {
    static CHIP: OnceLock<Manufactured> = OnceLock::new();
    CHIP.get_or_init(make)
}

fn make() -> Manufactured {
    let dir = temp_dir("tpmssh-setup-");
    let state = dir.path().join("state");
    fs::create_dir(&state).expect("a fresh directory is writable");
    let config = configure_ca(dir.path());

    let output = Command::new("swtpm_setup")
        .args([
            "--tpm2",
            "--create-ek-cert",
            "--create-platform-cert",
            "--lock-nvram",
        ])
        .args(["--vmid", "tpmssh-test"])
        .arg("--tpmstate")
        .arg(&state)
        .arg("--config")
        .arg(config)
        .env("HOME", dir.path())
        .env("XDG_CONFIG_HOME", dir.path())
        .output()
        .unwrap_or_else(|err| panic!("cannot start swtpm_setup (package swtpm-tools): {err}"));
    assert!(
        output.status.success(),
        "swtpm_setup failed: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    let certificate = |name: &str| {
        fs::read_to_string(dir.path().join("ca").join(name))
            .expect("the authority has a certificate")
    };
    let roots = certificate("issuercert.pem") + &certificate("swtpm-localca-rootca-cert.pem");
    let state = fs::read_dir(&state)
        .expect("the state directory is there")
        .map(|entry| entry.expect("the state directory is readable"))
        .filter(|entry| entry.file_name().to_string_lossy().ends_with(".permall"))
        .map(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            (name, fs::read(entry.path()).expect("the state is readable"))
        })
        .collect();
    Manufactured { state, roots }
}

/// Writes the configuration of a private certificate authority, because the packaged one has its
/// keys in a system directory of another user. Returns its path.
fn configure_ca(dir: &Path) -> std::path::PathBuf {
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
