//! `cargo xtask distro SUITE [CHORE]...`: a chore on another release of Debian.
//!
//! The release is a directory, made once by mmdebstrap. The chore runs in it as in a container,
//! with its own mounts, processes and network, and uses the programs that were built here.

mod inside;
mod root;

use std::{
    ffi::{OsStr, OsString},
    process::Command,
};

use anyhow::{Context, Result, ensure};

use crate::{
    command::{self, cargo},
    kernel, packages,
};

/// Runs `cargo xtask CHORE` in the release `SUITE`; without a chore the demo and the end-to-end tests.
///
/// # Errors
///
/// If the release cannot be made or entered, which needs root or sudo, or the chore fails.
pub(crate) fn run(args: &[OsString]) -> Result<()> {
    let [suite, chore @ ..] = args else {
        anyhow::bail!("which release? trixie is Debian 13");
    };
    let suite = suite.to_str().filter(|suite| is_suite(suite));
    let suite =
        suite.context("the name of a release has lower-case letters, digits and hyphens")?;
    packages::install_missing(packages::For::All)?;
    let root = root::make(suite)?;
    if chore.is_empty() {
        return demo_and_tests(&root);
    }
    let chore = chore.iter().map(OsString::as_os_str);
    let cargo = ["cargo", "xtask"].map(OsStr::new);
    command::run(&mut inside::command(&root, cargo.into_iter().chain(chore))?)
}

/// The demo and the end-to-end tests, with what this release built.
fn demo_and_tests(root: &std::path::Path) -> Result<()> {
    kernel::fetch()?;
    // Built on this release, to test its programs on the other one.
    command::run(cargo().args(["build", "--locked", "-p", "tpmssh", "-p", "tpmssh-pkcs11"]))?;
    command::run(cargo().args(["test", "--locked", "--workspace", "--no-run"]))?;
    let demo = ["cargo", "xtask", "demo"];
    command::run(&mut inside::command(root, demo)?)?;
    let tests = [
        "cargo",
        "test",
        "--locked",
        "--workspace",
        "--no-fail-fast",
        "--test",
        "e2e",
    ];
    command::run(&mut inside::command(root, tests)?)
}

/// Whether it can be the name of a release. It becomes a file name and an argument.
fn is_suite(name: &str) -> bool {
    let letter = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    name.starts_with(|c: char| c.is_ascii_lowercase()) && name.chars().all(letter)
}

/// Runs a command that prints one thing, and returns that.
fn printed(command: &mut Command) -> Result<String> {
    let line = command::line(command);
    let output = command
        .output()
        .with_context(|| format!("cannot start `{line}`"))?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "`{line}` failed: {errors}");
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_is_a_word() {
        assert!(is_suite("trixie") && is_suite("trixie-backports"));
        for other in ["", "-x", "../x", "a b", "Trixie", "a/b", "1"] {
            assert!(!is_suite(other), "{other}");
        }
    }
}
