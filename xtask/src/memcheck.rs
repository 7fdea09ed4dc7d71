//! `cargo xtask memcheck`: the module under valgrind, while it is called wrongly.

use anyhow::Result;

use crate::{
    command::{self, cargo},
    packages,
};

/// Valgrind, which makes a process end with 99 where it found a mistake. It follows forks, and
/// not the programs that are started.
const VALGRIND: &str = "valgrind --quiet --error-exitcode=99 --trace-children=no";

/// Runs every malformed call under valgrind. It takes some minutes, and needs code that is not
/// optimized: what LLVM makes of a comparison valgrind takes for a use of uninitialized bytes.
///
/// # Errors
///
/// If a package cannot be installed, the build fails, or valgrind finds something.
pub(crate) fn run() -> Result<()> {
    packages::install_missing(packages::For::All)?;
    let mut test = cargo();
    test.args(["test", "--locked", "-p", "tpmssh-pkcs11", "--test", "it"])
        .args(["malformed", "--", "--nocapture"])
        .env("TPMSSH_TEST_UNDER", VALGRIND);
    eprintln!("$ export TPMSSH_TEST_UNDER={}", command::quote(VALGRIND));
    command::run(&mut test)
}
