//! `cargo xtask test`: all tests of the workspace.

mod times;

use std::ffi::OsString;

use anyhow::Result;

use crate::{
    artifacts,
    command::{self, cargo},
    kernel, packages,
};

pub(crate) use times::timed;

/// Builds the program and the module, then runs all tests, to the end even if some fail.
///
/// `args` are for `cargo test`, such as `-p tpm-core` or `-- --nocapture`. A first argument `--times`
/// is for this chore: it prints how long each test program ran, also if tests failed.
///
/// # Errors
///
/// If a package cannot be installed, the build fails or a test fails.
pub(crate) fn run(args: &[OsString]) -> Result<()> {
    match args.split_first() {
        Some((first, rest)) if first == "--times" => {
            let dir = tempfile::tempdir()?;
            let file = dir.path().join("times");
            let outcome = tests(&times::runner(&file)?, rest);
            eprint!("{}", times::table(&file).unwrap_or_default());
            outcome
        }
        _ => tests(&[], args),
    }
}

/// The tests by cargo: `options` are cargo's own, `args` are those of `cargo test`.
fn tests(options: &[OsString], args: &[OsString]) -> Result<()> {
    packages::install_missing(packages::For::All)?;
    kernel::fetch()?;
    artifacts::build()?;
    let mut test = cargo();
    // Tokens of tests have nothing to protect. Only a build with debug assertions knows the variable.
    test.env("TPMSSH_TEST_KDF", "cheap");
    test.args(options);
    test.args(["test", "--locked", "--no-fail-fast"]);
    if !args.iter().any(|arg| arg == "-p" || arg == "--package") {
        test.arg("--workspace");
    }
    command::run(test.args(args))
}
