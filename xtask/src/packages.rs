//! The system packages that the chores need, found by the files in them.

use std::{
    fs,
    io::{IsTerminal, stderr, stdin},
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};

use crate::command;

/// A program or library that must be on the machine, and the Debian package that has it.
struct Need {
    probe: Probe,
    package: &'static str,
    /// Whether the demo needs it too.
    demo: bool,
    /// Whether building and packing need it.
    build: bool,
    /// Whether nothing needs it but the tests below `tests/programs/`.
    programs: bool,
    /// Whether Debian 12 has no such package.
    newer: bool,
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
    /// A file below the libraries of any architecture, `/usr/lib/*/`: a PKCS#11 module, for one.
    Architecture(&'static str),
    /// The server of PostgreSQL, of any version.
    Postgres,
    /// Anything else, by its path.
    File(&'static str),
}

/// The purpose of the packages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum For {
    /// `cargo xtask demo`.
    Demo,
    /// `cargo xtask install` and `dist`.
    Build,
    /// `cargo xtask test --without-programs`.
    WithoutPrograms,
    /// Any other chore. All of them need the whole list, so that they work on the same machines.
    All,
}

const NEEDS: &[Need] = &[
    // To build.
    build(demo(Probe::Program("cc"), "gcc")),
    build(demo(Probe::Program("pkg-config"), "pkg-config")),
    build(demo(Probe::Development("tss2-esys"), "libtss2-dev")),
    need(Probe::Program("c++"), "g++"),
    // TPMs and resource managers.
    demo(Probe::Program("swtpm"), "swtpm"),
    need(Probe::Program("swtpm_setup"), "swtpm-tools"),
    need(
        Probe::Library("libtss2-tcti-swtpm.so.0"),
        "libtss2-tcti-swtpm0",
    ),
    need(
        Probe::Library("libtss2-tcti-tabrmd.so.0"),
        "libtss2-tcti-tabrmd0",
    ),
    need(Probe::Program("tpm2-abrmd"), "tpm2-abrmd"),
    need(Probe::Program("tpm2_nvdefine"), "tpm2-tools"),
    need(Probe::Program("dbus-daemon"), "dbus-daemon"),
    need(Probe::Program("dbus-send"), "dbus-bin"),
    // For comparison in the bench.
    need(Probe::Program("tpm2_ptool"), "libtpm2-pkcs11-tools"),
    need(
        Probe::Architecture("pkcs11/libtpm2_pkcs11.so"),
        "libtpm2-pkcs11-1",
    ),
    // Programs that use the module, the agent and the keys.
    demo(Probe::Program("ssh"), "openssh-client"),
    demo(Probe::Program("sshd"), "openssh-server"),
    demo(Probe::Program("pkcs11-tool"), "opensc"),
    need(Probe::Program("git"), "git"),
    need(Probe::Program("openssl"), "openssl"),
    need(Probe::Engine("pkcs11"), "libengine-pkcs11-openssl"),
    need(Probe::Program("p11tool"), "gnutls-bin"),
    need(Probe::Program("p11-kit"), "p11-kit"),
    need(Probe::Program("certutil"), "libnss3-tools"),
    need(Probe::Program("chromium"), "chromium"),
    need(Probe::Program("Xvfb"), "xvfb"),
    need(Probe::Program("xdotool"), "xdotool"),
    need(Probe::Program("curl"), "curl"),
    // The other database of tpmssh-ca.
    need(Probe::Postgres, "postgresql"),
    // Shells that complete names, and a second reader of manual pages.
    need(Probe::Program("zsh"), "zsh"),
    need(Probe::Program("fish"), "fish"),
    need(Probe::Program("mandoc"), "mandoc"),
    // Programs that the group `programs` of the tests needs, and nothing else.
    programs(
        Probe::File("/usr/lib/python3/dist-packages/paramiko"),
        "python3-paramiko",
    ),
    programs(
        Probe::File("/usr/lib/python3/dist-packages/asyncssh"),
        "python3-asyncssh",
    ),
    programs(Probe::File("/usr/bin/go"), "golang-go"),
    programs(
        Probe::File("/usr/share/gocode/src/golang.org/x/crypto"),
        "golang-golang-x-crypto-dev",
    ),
    programs(Probe::Program("plink"), "putty-tools"),
    programs(Probe::Program("jarsigner"), "default-jdk-headless"),
    programs(Probe::Program("nginx"), "nginx"),
    programs(Probe::Program("stunnel"), "stunnel4"),
    programs(Probe::Program("openvpn"), "openvpn"),
    programs(Probe::Program("pki"), "strongswan-pki"),
    programs(
        Probe::File("/usr/lib/ipsec/plugins/libstrongswan-pkcs11.so"),
        "libstrongswan-extra-plugins",
    ),
    programs(Probe::Program("eapol_test"), "eapoltest"),
    programs(Probe::Program("hostapd"), "hostapd"),
    programs(Probe::Program("gpgsm"), "gpgsm"),
    programs(Probe::Program("gpg-agent"), "gpg-agent"),
    programs(Probe::Program("gnupg-pkcs11-scd"), "gnupg-pkcs11-scd"),
    programs(Probe::Program("cryptsetup"), "cryptsetup-bin"),
    programs(Probe::Program("systemd-cryptenroll"), "systemd"),
    newer(programs(
        Probe::Program("systemd-cryptenroll"),
        "systemd-cryptsetup",
    )),
    newer(programs(
        Probe::Architecture("ossl-modules/pkcs11.so"),
        "pkcs11-provider",
    )),
    // To tell a client's own faults from the module's.
    programs(Probe::Program("softhsm2-util"), "softhsm2"),
    // Tools and containers of the tests.
    demo(Probe::Program("setpriv"), "util-linux"),
    need(Probe::Program("valgrind"), "valgrind"),
    need(Probe::Program("strace"), "strace"),
    need(Probe::Program("ip"), "iproute2"),
    need(Probe::Program("qemu-system-x86_64"), "qemu-system-x86"),
    need(Probe::Program("busybox"), "busybox-static"),
    need(Probe::Program("cpio"), "cpio"),
    // Other releases of Debian.
    need(Probe::Program("mmdebstrap"), "mmdebstrap"),
    // To build a Debian package.
    build(need(Probe::Program("dpkg-shlibdeps"), "dpkg-dev")),
    build(need(Probe::Program("strip"), "binutils")),
    // To test it.
    need(Probe::Program("lintian"), "lintian"),
    need(Probe::Program("systemd-nspawn"), "systemd-container"),
];

const fn need(probe: Probe, package: &'static str) -> Need {
    Need {
        probe,
        package,
        demo: false,
        build: false,
        programs: false,
        newer: false,
    }
}

const fn demo(probe: Probe, package: &'static str) -> Need {
    Need {
        demo: true,
        ..need(probe, package)
    }
}

const fn build(need: Need) -> Need {
    Need {
        build: true,
        ..need
    }
}

const fn programs(probe: Probe, package: &'static str) -> Need {
    Need {
        programs: true,
        ..need(probe, package)
    }
}

const fn newer(need: Need) -> Need {
    Need {
        newer: true,
        ..need
    }
}

/// The packages of the release `suite` of Debian in which a chore is to run: all that chores need.
pub(crate) fn names(suite: &str) -> impl Iterator<Item = &'static str> {
    let newer = suite != OLDEST.1;
    let needs = NEEDS.iter().filter(move |need| newer || !need.newer);
    needs.map(|need| need.package)
}

/// The oldest release of Debian that chores run on, as os-release has it, and its name.
const OLDEST: (&str, &str) = ("VERSION_ID=\"12\"", "bookworm");

/// Whether this machine's Debian is newer than [`OLDEST`].
fn is_newer() -> bool {
    fs::read_to_string("/etc/os-release")
        .is_ok_and(|release| !release.lines().any(|line| line == OLDEST.0))
}

/// Installs missing packages. Prints their names before, and asks if it runs in a terminal.
///
/// It starts no service, neither now nor at the next boot (`services`).
///
/// # Errors
///
/// If a package is missing and cannot be installed, or the user says no.
pub(crate) fn install_missing(wanted: For) -> Result<()> {
    let missing = missing(wanted);
    if missing.is_empty() {
        return Ok(());
    }
    let list = missing.join(" ");
    let by_hand = format!("please install them by hand, as root: apt-get install {list}");
    if program("apt-get").is_none() {
        bail!("this machine lacks what these Debian packages have; please install it: {list}");
    }
    eprintln!(
        "Debian packages that are needed here and missing: {list}\n\
         They are installed with apt-get; services that come with them are not started."
    );
    if !agreed()? {
        bail!("nothing was installed; {by_hand}");
    }
    let services = Services::note();
    update()
        .and_then(|()| command::run(&mut install(&missing)))
        .and_then(|()| services.disable_new())
        .context(by_hand)?;
    let missing = self::missing(wanted);
    if !missing.is_empty() {
        bail!("still missing after apt-get install: {}", missing.join(" "));
    }
    Ok(())
}

/// Asks whether to go on, if this runs in a terminal.
fn agreed() -> Result<bool> {
    if !stdin().is_terminal() || !stderr().is_terminal() {
        return Ok(true);
    }
    eprint!("Install them? [Y/n] ");
    let mut answer = String::new();
    stdin().read_line(&mut answer)?;
    // The end of the input does not mean yes.
    Ok(["\n", "y\n", "yes\n"].contains(&answer.to_lowercase().as_str()))
}

/// Downloads the lists of packages.
///
/// # Errors
///
/// If that needs a password.
pub(crate) fn update() -> Result<()> {
    command::run(as_root("apt-get").args(["-o", "DPkg::Lock::Timeout=300", "-qq", "update"]))
}

/// The packages of the missing programs and libraries.
fn missing(wanted: For) -> Vec<&'static str> {
    NEEDS
        .iter()
        .filter(|need| match wanted {
            For::All => true,
            For::WithoutPrograms => !need.programs,
            For::Demo => need.demo,
            For::Build => need.build,
        })
        .filter(|need| !need.newer || is_newer())
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
            Self::Architecture(name) => fs::read_dir("/usr/lib").is_ok_and(|mut dirs| {
                dirs.any(|dir| dir.is_ok_and(|dir| dir.path().join(name).exists()))
            }),
            Self::Postgres => fs::read_dir("/usr/lib/postgresql").is_ok_and(|mut versions| {
                versions.any(|it| it.is_ok_and(|it| it.path().join("bin/postgres").exists()))
            }),
            Self::File(path) => Path::new(path).exists(),
            Self::Engine(name) => Command::new("openssl")
                .args(["engine", name])
                .output()
                .is_ok_and(|output| output.status.success()),
        }
    }
}

/// The script between `sh -c` and the arguments of apt-get. Debian asks `policy-rc.d` before it
/// starts a service. If the machine has such a file, it is not changed. PostgreSQL's packages make a
/// database of their own unless a file says no. Slim images lack the directory of manual pages in
/// which Java's packages make links.
const WITHOUT_SERVICES: &str = "\
policy=/usr/sbin/policy-rc.d
clusters=/etc/postgresql-common/createcluster.d
cluster=$clusters/tpmssh-xtask.conf
made=$cluster
trap 'rm -f $made' EXIT
trap 'exit 1' HUP INT TERM
mkdir -p $clusters
printf 'create_main_cluster = false\\n' >$cluster
if [ ! -e $policy ]; then
    made=\"$cluster $policy\"
    printf '#!/bin/sh\\n# of cargo xtask: no services while it installs packages\\nexit 101\\n' >$policy
    chmod 755 $policy
fi
mkdir -p /usr/share/man/man1
apt-get -o DPkg::Lock::Timeout=300 -qq -y --no-install-recommends install \"$@\"";

/// Installs `packages` and starts no services.
fn install(packages: &[&str]) -> Command {
    let mut command = as_root("env");
    command
        // For programs that use System V init scripts.
        .args(["DEBIAN_FRONTEND=noninteractive", "RUNLEVEL=1"])
        .args(["sh", "-c", WITHOUT_SERVICES, "sh"])
        .args(packages);
    command
}

/// A program that runs as root, by sudo if needed, and asks nothing.
pub(crate) fn as_root(program: &str) -> Command {
    if rustix::process::geteuid().is_root() {
        return Command::new(program);
    }
    let mut sudo = Command::new("sudo");
    sudo.args(["--non-interactive", program]);
    sudo
}

/// The services of packages in the list that Debian enables.
struct Services {
    new: Vec<&'static str>,
}

impl Services {
    const ALL: [&str; 8] = [
        "ssh.service",
        "ssh.socket",
        "tpm2-abrmd.service",
        "nginx.service",
        "openvpn.service",
        "stunnel.target",
        "hostapd.service",
        "postgresql.service",
    ];

    /// Remembers which of them the machine does not have yet. Existing ones are not touched.
    fn note() -> Self {
        let unit = |name: &&str| Path::new("/lib/systemd/system").join(name).exists();
        let new = Self::ALL.into_iter().filter(|name| !unit(name)).collect();
        Self { new }
    }

    /// Disables the new ones, so that the next boot does not start them either.
    fn disable_new(self) -> Result<()> {
        let Self { new: before } = self;
        let absent = Self::note().new;
        let came: Vec<&str> = before
            .into_iter()
            .filter(|name| !absent.contains(name))
            .collect();
        if came.is_empty() || program("systemctl").is_none() {
            return Ok(());
        }
        command::run(
            as_root("systemctl")
                .args(["--quiet", "--no-reload", "disable"])
                .args(came),
        )
    }
}

/// The path of a program. Directories of system programs are not in each user's `PATH`.
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
        assert!(!Probe::Architecture("pkcs11/no-such-module.so").found());
        assert!(Probe::File("/etc").found() && !Probe::File("/no-such-file").found());
    }

    /// The tests run only where the packages are.
    #[test]
    fn nothing_is_missing_here() {
        assert_eq!(missing(For::All), [""; 0]);
    }
}
