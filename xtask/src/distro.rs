//! `cargo xtask distro SUITE [CHORE]...`: a chore on another release of Debian.
//!
//! The release is a directory, made once by mmdebstrap. The chore runs in it as in a container,
//! with its own mounts, processes and network, and uses the programs that were built here.

mod inside;
mod root;

pub(crate) use root::check_mirror;

use std::{
    ffi::{OsStr, OsString},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Instant,
};

use anyhow::{Context, Result, ensure};

use crate::{
    artifacts,
    command::{self, cargo},
    demo, heard, kernel, packages, test,
};

/// Parts of names of end-to-end tests that are not run in another release: those of peculiar chips, changed answers of a
/// chip, files with changed fields, a full disk, and a kernel of its own. No program or library of the release takes part.
const LEFT_OUT: [&str; 8] = [
    "zoo::",
    "stale::",
    "half_done::",
    "tampered::",
    "recording::",
    "bad_input::tpm::",
    "proof::fields::",
    "a_kernel::",
];

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
    inside::check_possible()?;
    let root = root::make(suite)?;
    if chore.is_empty() {
        return demo_and_tests(&root);
    }
    let chore = chore.iter().map(OsString::as_os_str);
    let cargo = ["cargo", "xtask"].map(OsStr::new);
    let line = cargo.into_iter().chain(chore);
    command::run(&mut inside::command(&root, &command::root(), line)?)
}

/// The demo and the end-to-end tests in Debian 13.
///
/// # Errors
///
/// As for [`run`]. [`Unavailable`](crate::unavailable::Unavailable) if this machine lacks something for it.
pub(crate) fn trixie() -> Result<()> {
    run(&["trixie".into()])
}

/// The demo and the end-to-end tests, with programs that are built on this machine. Nothing is built
/// in the other release.
fn demo_and_tests(root: &Path) -> Result<()> {
    kernel::fetch()?;
    let built = artifacts::build()?;
    let tests = end_to_end_tests()?;
    // The file in the build directory: cargo may have replaced it since this program started.
    let xtask = built.dir.join("xtask");
    let show = [xtask.as_os_str(), "demo".as_ref(), "--built".as_ref()];
    timed("demo", || {
        let heard = heard::run(&mut inside::command(root, &command::root(), show)?)?;
        ensure!(
            heard.contains(demo::ALL_PASSED),
            "the demo did not run to its end"
        );
        Ok(())
    })?;
    // Tokens of tests have nothing to protect; see `test`.
    let limit = format!("TPMSSH_TEST_LIMIT={}", test::PROGRAM_LIMIT);
    let cheap = ["env", "TPMSSH_TEST_KDF=cheap", &limit].map(OsStr::new);
    let left_out = LEFT_OUT.iter().flat_map(|part| ["--skip", *part]);
    let line = cheap.into_iter().chain([tests.as_os_str()]);
    let line = line.chain(left_out.map(OsStr::new));
    // The directory in which cargo runs them.
    let dir = command::root().join("crates/cli");
    timed("end-to-end tests", || {
        heard::many_tests(&mut inside::command(root, &dir, line)?)
    })
}

/// Does the work, and prints how long it took.
fn timed(what: &str, work: impl FnOnce() -> Result<()>) -> Result<()> {
    let start = Instant::now();
    work().with_context(|| format!("{what} in another release"))?;
    eprintln!("distro: {:>5} s  {what}", start.elapsed().as_secs());
    Ok(())
}

/// Builds the program of the end-to-end tests; its path.
fn end_to_end_tests() -> Result<PathBuf> {
    // With the features of the whole workspace, as `cargo xtask test` builds it.
    let mut build = cargo();
    build
        .args(["test", "--locked", "--workspace", "--test", "e2e"])
        .args(["--no-run", "--message-format=json-render-diagnostics"])
        .stderr(Stdio::inherit());
    let messages = printed(&mut build)?;
    built_test(&messages, "e2e").context("cargo did not build the end-to-end tests")
}

/// The path of the test program `name`, from what cargo says in JSON, a message on each line.
fn built_test(messages: &str, name: &str) -> Option<PathBuf> {
    let messages = messages.lines();
    let messages = messages.filter_map(|line| serde_json::from_str(line).ok());
    messages
        .filter(|message: &serde_json::Value| message["target"]["name"] == name)
        .find_map(|message| message["executable"].as_str().map(PathBuf::from))
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
    fn the_test_program_is_the_one_that_cargo_names() {
        let messages = "{\"reason\":\"compiler-artifact\",\"target\":{\"name\":\"tpmssh\"},\"executable\":\"/a\"}\n\
            {\"target\":{\"name\":\"e2e\"},\"executable\":null}\nno JSON\n\
            {\"target\":{\"name\":\"e2e\"},\"executable\":\"/b/e2e-1\"}\n";
        assert_eq!(built_test(messages, "e2e"), Some("/b/e2e-1".into()));
        assert_eq!(built_test(messages, "other"), None);
    }

    #[test]
    fn what_is_left_out_is_there() {
        let tests = command::root().join("tests");
        for part in LEFT_OUT {
            let path = part.trim_end_matches("::").replace("::", "/");
            let file = tests.join(path).with_extension("rs");
            assert!(file.is_file(), "{}", file.display());
        }
    }

    #[test]
    fn a_release_is_a_word() {
        assert!(is_suite("trixie") && is_suite("trixie-backports"));
        for other in ["", "-x", "../x", "a b", "Trixie", "a/b", "1"] {
            assert!(!is_suite(other), "{other}");
        }
    }
}
