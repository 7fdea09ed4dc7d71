//! Privileges that some tests need. In CI, a test that lacks them fails instead of being skipped.

use std::process::Command;

/// Whether this user can make a private mount namespace, without a user namespace around it.
///
/// If not, it prints that the test is skipped.
///
/// # Panics
///
/// If not, and the variable `CI` is set: there nothing is skipped. If `unshare` is not installed.
#[must_use]
pub fn can_mount() -> bool {
    let mut probe = Command::new("unshare");
    probe.args(["--mount", "true"]);
    let output = probe.output().expect("unshare (package util-linux) starts");
    or_skip(
        output.status.success(),
        "no mount namespace without privileges",
    )
}

/// Whether this is root.
///
/// If not, it prints that the test is skipped.
///
/// # Panics
///
/// If not, and the variable `CI` is set.
#[must_use]
pub fn is_root() -> bool {
    or_skip(
        rustix::process::geteuid().is_root(),
        "only root can do this",
    )
}

fn or_skip(can: bool, why_not: &str) -> bool {
    assert!(can || std::env::var_os("CI").is_none(), "{why_not}");
    if !can {
        eprintln!("skipped: {why_not}");
    }
    can
}
