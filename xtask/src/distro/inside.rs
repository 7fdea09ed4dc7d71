//! A command in a directory that has a release of Debian in it.

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};

use crate::{command, packages, unavailable::Unavailable};

use super::printed;

/// Sets up the mounts and enters. All changes inside are lost: the release, the checkout, the build
/// directory and cargo's directory are below a layer in memory. The network has only the loopback
/// device.
///
/// Arguments: the release, the toolchain, then directories that are there as here, `--`, the command.
const ENTER: &str = r#"
set -eu
release=$1 toolchain=$2; shift 2
mount --make-rprivate /
layers=$(mktemp -d)
mount -t tmpfs tmpfs "$layers"
layered() {
    number=$(ls "$layers" | wc -l)
    mkdir -p "$layers/$number/upper" "$layers/$number/work" "$2"
    mount -t overlay overlay -o "lowerdir=$1,upperdir=$layers/$number/upper,workdir=$layers/$number/work" "$2"
}
mkdir "$layers/root"
root=$layers/root
layered "$release" "$root"
mount -t proc proc "$root/proc"
mount --rbind /sys "$root/sys"
mount --rbind /dev "$root/dev"
mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
mount -t tmpfs tmpfs "$root/run"
while [ "$1" != -- ]; do layered "$1" "$root$1"; shift; done
shift
mkdir -p "$root$toolchain"
mount --bind "$toolchain" "$root$toolchain"
ip link set lo up
# This shell stays the first process: what runs inside has a parent, as on any machine.
chroot "$root" "$@"
exit $?
"#;

/// The variables by which cargo decides whether a built file is up to date, and those of tests. All
/// others stay outside.
const KEPT: [&str; 7] = [
    "CI",
    "CARGO_INCREMENTAL",
    "CARGO_TERM_COLOR",
    "CARGO_TARGET_DIR",
    "RUSTFLAGS",
    "RUST_BACKTRACE",
    "TPMSSH_TEST_KDF",
];

/// The namespaces that everything runs in.
const NAMESPACES: [&str; 7] = [
    "--mount",
    "--pid",
    "--fork",
    "--kill-child",
    "--uts",
    "--ipc",
    "--net",
];

/// Whether this machine lets anybody enter a release. A plain chroot would not do: without the right
/// to mount there is no /proc in it, which sshd and the tests need.
///
/// # Errors
///
/// [`Unavailable`] if not.
pub(super) fn check_possible() -> Result<()> {
    let mut probe = packages::as_root("unshare");
    let mount = "mount -t tmpfs tmpfs /mnt && mount -t proc proc /proc";
    probe.args(NAMESPACES).args(["sh", "-c", mount]);
    printed(&mut probe).map(drop).map_err(|err| {
        Unavailable(format!(
            "another release needs root or sudo, and a kernel that gives namespaces and mounts: {err:#}"
        ))
        .into()
    })
}

/// `line` in the release, in the directory `dir` of the checkout.
///
/// # Errors
///
/// If this machine's toolchain is not found.
pub(super) fn command<S: AsRef<OsStr>>(
    release: &Path,
    dir: &Path,
    line: impl IntoIterator<Item = S>,
) -> Result<Command> {
    let toolchain = printed(Command::new("rustc").args(["--print", "sysroot"]))?;
    let home = PathBuf::from(std::env::var_os("HOME").context("HOME is not set")?);
    let cargo_home = std::env::var_os("CARGO_HOME").map_or(home.join(".cargo"), PathBuf::from);
    let checkout = command::root().canonicalize()?;
    let target = command::target()?;
    let mut layers = vec![checkout.clone(), cargo_home.clone()];
    if !target.starts_with(&checkout) {
        layers.push(target);
    }
    for dir in layers.iter().map(PathBuf::as_path).chain([release]) {
        let text = dir.to_str().context("a directory's name is no text")?;
        // They separate mount's options.
        ensure!(!text.contains([':', ',', '\\']), "{text} cannot be mounted");
    }
    let mut command = packages::as_root("unshare");
    command
        .args(NAMESPACES)
        .args(["sh", "-c", ENTER, "enter"])
        .arg(release)
        .arg(&toolchain)
        .args(layers)
        .args(["--", "/usr/bin/env", "-i", "-C"])
        .arg(dir.canonicalize()?)
        .args(["HOME=/root", "LC_ALL=C.UTF-8", "CARGO_NET_OFFLINE=true"])
        .arg(format!(
            "PATH={toolchain}/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        ))
        .arg(assignment("CARGO_HOME", cargo_home.as_os_str()));
    for name in KEPT {
        if let Some(value) = std::env::var_os(name) {
            command.arg(assignment(name, &value));
        }
    }
    command.args(line);
    Ok(command)
}

fn assignment(name: &str, value: &OsStr) -> std::ffi::OsString {
    let mut text = std::ffi::OsString::from(name);
    text.push("=");
    text.push(value);
    text
}
