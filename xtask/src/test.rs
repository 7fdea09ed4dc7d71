//! `cargo xtask test`: all tests of the workspace.

use std::ffi::OsString;

use anyhow::Result;

use crate::{
    artifacts,
    command::{self, cargo},
    kernel, packages,
};

/// Builds the program and the module, then runs all tests, to the end even if some fail.
///
/// `args` are for `cargo test`, such as `-p tpm-core` or `-- --nocapture`.
///
/// # Errors
///
/// If a package cannot be installed, the build fails or a test fails.
pub(crate) fn run(args: &[OsString]) -> Result<()> {
    packages::install_missing(packages::For::All)?;
    kernel::fetch()?;
    artifacts::build()?;
    let mut test = cargo();
    // Tokens of tests have nothing to protect. Only a build with debug assertions knows the variable.
    test.env("TPMSSH_TEST_KDF", "cheap");
    test.args(["test", "--locked", "--no-fail-fast"]);
    if !args.iter().any(|arg| arg == "-p" || arg == "--package") {
        test.arg("--workspace");
    }
    command::run(test.args(args))
}
