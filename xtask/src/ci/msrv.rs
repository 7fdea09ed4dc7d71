//! The oldest Rust that the manifests state, which must be able to build the project.

use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::command::{self, target};

/// The `rust-version` of the workspace.
const STATED: &str = env!("CARGO_PKG_RUST_VERSION");

/// Builds the workspace with the Rust that the manifests state, unless CI uses that version anyway.
///
/// # Errors
///
/// If that Rust is not installed, or cannot build everything.
pub(super) fn build() -> Result<()> {
    let output = Command::new("rustc").arg("--version").output();
    let output = output.context("cannot start rustc")?;
    let here = String::from_utf8_lossy(&output.stdout);
    if is_stated(STATED, &here) {
        eprintln!("rust-version is {STATED}: {} builds it here", here.trim());
        return Ok(());
    }
    let mut check = Command::new("rustup");
    check
        .args(["run", STATED, "cargo", "check", "--workspace"])
        .args(["--all-targets", "--locked"])
        .current_dir(command::root())
        // A build directory of its own, because it cannot use the files of another compiler.
        .env("CARGO_TARGET_DIR", target()?.join("msrv"));
    // These variables of cargo are for the other toolchain.
    for (name, _) in cargo_variables() {
        check.env_remove(name);
    }
    if let Err(err) = command::run(&mut check) {
        bail!(
            "rust-version is {STATED} and this is {}, so nothing builds what is stated ({err}); \
             either `rustup toolchain install {STATED} --profile minimal`, or state what is built",
            here.trim()
        );
    }
    Ok(())
}

fn cargo_variables() -> impl Iterator<Item = (std::ffi::OsString, std::ffi::OsString)> {
    std::env::vars_os().filter(|(name, _)| {
        let name = name.to_string_lossy();
        name == "RUSTUP_TOOLCHAIN" || (name.starts_with("CARGO") && name != "CARGO_HOME")
    })
}

/// Whether the output of `rustc --version` is of the stated version; patch releases do not count.
fn is_stated(stated: &str, rustc: &str) -> bool {
    let Some(version) = rustc
        .strip_prefix("rustc ")
        .and_then(|rest| rest.split_whitespace().next())
    else {
        return false;
    };
    // A nightly or beta of a version is older than the version.
    if version.contains('-') {
        return false;
    }
    let minor = |version: &str| -> Option<(u32, u32)> {
        let mut parts = version.split('.').map(str::parse);
        Some((parts.next()?.ok()?, parts.next()?.ok()?))
    };
    minor(stated).is_some() && minor(stated) == minor(version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_stated_release_counts() {
        let stated = |rustc| is_stated("1.95", rustc);
        assert!(stated("rustc 1.95.0 (59807616e 2026-04-14)\n"));
        assert!(stated("rustc 1.95.3"));
        assert!(is_stated("1.95.0", "rustc 1.95.1 (x)"));
        for other in [
            "rustc 1.96.0 (59807616e 2026-04-14)",
            "rustc 1.9.5",
            "rustc 2.95.0",
            "rustc 1.95.0-nightly (x)",
            "rustc 1.95.0-beta.3 (x)",
            "rustc",
            "1.95.0",
            "",
        ] {
            assert!(!stated(other), "{other:?}");
        }
    }
}
