//! The system packages that the chores need, found by what is in them.

use std::{fs, path::PathBuf, process::Command};

use anyhow::{Context, Result, bail};

use crate::command::{self, line};

/// Something that must be on the machine, and the Debian package that has it.
struct Need {
    probe: Probe,
    package: &'static str,
}

enum Probe {
    /// A program in `PATH` or a directory of system programs.
    Program(&'static str),
    /// A library to build against, as pkg-config calls it.
    Development(&'static str),
    /// A shared library that is opened by name when a program runs.
    Library(&'static str),
    /// An engine of OpenSSL.
    Engine(&'static str),
    /// A PKCS#11 module, where p11-kit looks for it.
    Pkcs11(&'static str),
}

/// All of it. Every chore takes the whole list, so that no two chores differ in where they work.
const NEEDS: &[Need] = &[
    need(Probe::Program("cc"), "gcc"),
    need(Probe::Program("c++"), "g++"),
    need(Probe::Program("pkg-config"), "pkg-config"),
    need(Probe::Development("tss2-esys"), "libtss2-dev"),
    need(
        Probe::Library("libtss2-tcti-swtpm.so.0"),
        "libtss2-tcti-swtpm0",
    ),
    need(
        Probe::Library("libtss2-tcti-tabrmd.so.0"),
        "libtss2-tcti-tabrmd0",
    ),
    need(Probe::Program("swtpm"), "swtpm"),
    need(Probe::Program("swtpm_setup"), "swtpm-tools"),
    need(Probe::Program("tpm2-abrmd"), "tpm2-abrmd"),
    // What tpmssh is measured beside.
    need(Probe::Program("tpm2_ptool"), "libtpm2-pkcs11-tools"),
    need(Probe::Pkcs11("libtpm2_pkcs11.so"), "libtpm2-pkcs11-1"),
    need(Probe::Program("dbus-daemon"), "dbus-daemon"),
    need(Probe::Program("dbus-send"), "dbus-bin"),
    need(Probe::Program("git"), "git"),
    need(Probe::Program("ssh"), "openssh-client"),
    need(Probe::Program("sshd"), "openssh-server"),
    need(Probe::Program("git"), "git"),
    need(Probe::Program("pkcs11-tool"), "opensc"),
    need(Probe::Program("openssl"), "openssl"),
    need(Probe::Engine("pkcs11"), "libengine-pkcs11-openssl"),
    need(Probe::Program("p11tool"), "gnutls-bin"),
    need(Probe::Program("p11-kit"), "p11-kit"),
    need(Probe::Program("certutil"), "libnss3-tools"),
    need(Probe::Program("chromium"), "chromium"),
    need(Probe::Program("Xvfb"), "xvfb"),
    need(Probe::Program("xdotool"), "xdotool"),
    need(Probe::Program("curl"), "curl"),
    need(Probe::Program("git"), "git"),
    need(Probe::Program("setpriv"), "util-linux"),
    need(Probe::Program("valgrind"), "valgrind"),
    need(Probe::Program("strace"), "strace"),
    need(Probe::Program("qemu-system-x86_64"), "qemu-system-x86"),
    need(Probe::Program("busybox"), "busybox-static"),
    need(Probe::Program("cpio"), "cpio"),
];

const fn need(probe: Probe, package: &'static str) -> Need {
    Need { probe, package }
}

/// Installs what is missing.
///
/// # Errors
///
/// If something is missing and cannot be installed without a question.
pub(crate) fn install_missing() -> Result<()> {
    let missing = missing();
    if missing.is_empty() {
        return Ok(());
    }
    let list = missing.join(" ");
    if program("apt-get").is_none() {
        bail!("this machine lacks what these Debian packages have; please install it: {list}");
    }
    eprintln!("installing missing Debian packages: {list}");
    if missing.contains(&"openssh-server") || missing.contains(&"tpm2-abrmd") {
        eprintln!("note: Debian sets up the services of openssh-server and tpm2-abrmd with them");
    }
    let mut install = apt_get();
    install
        .args(["-qq", "-y", "--no-install-recommends", "install"])
        .args(&missing);
    update()
        .and_then(|()| command::run(&mut install))
        .with_context(|| format!("please install them by hand, as root: apt-get install {list}"))?;
    let missing = self::missing();
    if !missing.is_empty() {
        bail!(
            "still missing after `{}`: {}",
            line(&install),
            missing.join(" ")
        );
    }
    Ok(())
}

/// Gets the lists of packages.
///
/// # Errors
///
/// If that cannot be done without a question.
pub(crate) fn update() -> Result<()> {
    command::run(apt_get().args(["-qq", "update"]))
}

/// The packages of what is not there.
fn missing() -> Vec<&'static str> {
    NEEDS
        .iter()
        .filter(|need| !need.probe.found())
        .map(|need| need.package)
        .collect()
}

impl Probe {
    fn found(&self) -> bool {
        match self {
            Self::Program(name) => program(name).is_some(),
            Self::Development(name) => Command::new("pkg-config")
                .args(["--exists", name])
                .status()
                .is_ok_and(|status| status.success()),
            Self::Library(name) => program("ldconfig")
                .and_then(|ldconfig| Command::new(ldconfig).arg("-p").output().ok())
                .is_some_and(|output| String::from_utf8_lossy(&output.stdout).contains(name)),
            Self::Pkcs11(name) => fs::read_dir("/usr/lib").is_ok_and(|mut dirs| {
                dirs.any(|dir| dir.is_ok_and(|dir| dir.path().join("pkcs11").join(name).exists()))
            }),
            Self::Engine(name) => Command::new("openssl")
                .args(["engine", name])
                .output()
                .is_ok_and(|output| output.status.success()),
        }
    }
}

/// apt-get that asks nothing, as root or by way of sudo.
fn apt_get() -> Command {
    let mut command = if rustix::process::geteuid().is_root() {
        Command::new("env")
    } else {
        let mut sudo = Command::new("sudo");
        sudo.args(["--non-interactive", "env"]);
        sudo
    };
    command.args([
        "DEBIAN_FRONTEND=noninteractive",
        "apt-get",
        "-o",
        "DPkg::Lock::Timeout=300",
    ]);
    command
}

/// Where a program is; directories of system programs may not be in a user's `PATH`.
fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from))
        .map(|dir| dir.join(name))
        .find(|path| path.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_is_found_and_what_is_not_is_not() {
        assert!(Probe::Program("sh").found());
        assert!(
            Probe::Program("ldconfig").found(),
            "outside of a user's PATH"
        );
        assert!(Probe::Library("libc.so.6").found());
        assert!(!Probe::Program("no-such-program").found());
        assert!(!Probe::Development("no-such-library").found());
        assert!(!Probe::Library("libnosuchlibrary.so.0").found());
        assert!(!Probe::Engine("no-such-engine").found());
        assert!(!Probe::Pkcs11("no-such-module.so").found());
    }

    /// The tests run only where the packages are.
    #[test]
    fn nothing_is_missing_here() {
        assert_eq!(missing(), [""; 0]);
    }
}
