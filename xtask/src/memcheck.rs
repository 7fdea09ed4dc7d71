//! `cargo xtask memcheck`: malformed calls of the module under valgrind.

use anyhow::Result;

use crate::{
    command::{self, cargo},
    heard, packages,
};

/// Valgrind, with exit code 99 if it found an error. It follows forks, and not executed programs.
const VALGRIND: &str = "valgrind --quiet --error-exitcode=99 --trace-children=no";

/// Runs all malformed calls under valgrind, which takes some minutes. The code must not be
/// optimized: valgrind mistakes LLVM's optimized comparisons for uses of uninitialized bytes.
///
/// # Errors
///
/// If a package cannot be installed, the build fails, or valgrind finds an error.
pub(crate) fn run() -> Result<()> {
    packages::install_missing(packages::For::All)?;
    let mut test = cargo();
    test.args(["test", "--locked", "-p", "tpmssh-pkcs11", "--test", "it"])
        .args(["malformed", "--", "--nocapture"])
        .env("TPMSSH_TEST_UNDER", VALGRIND);
    eprintln!("$ export TPMSSH_TEST_UNDER={}", command::quote(VALGRIND));
    heard::tests(&mut test)
}
