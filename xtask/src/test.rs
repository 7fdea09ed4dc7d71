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

/// For a machine that has not the time or the room for them.
const WITHOUT_PROGRAMS: &str = "--without-programs";

/// Builds the program and the module, then runs all tests, to the end even if some fail.
///
/// `args` are for `cargo test`, such as `-p tpm-core` or `-- --nocapture`. The first ones may be for this
/// chore: `--times` prints how long each test program ran, also if tests failed; after it `--without-programs`
/// leaves out the tests below `tests/programs/`, and the packages that only these need.
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
    let (wanted, args) = match args {
        [first, rest @ ..] if first == WITHOUT_PROGRAMS => (packages::For::WithoutPrograms, rest),
        args => (packages::For::All, args),
    };
    packages::install_missing(wanted)?;
    kernel::fetch()?;
    artifacts::build()?;
    let mut test = cargo();
    // Makes tokens of tests cheap, because they protect nothing. Only a build with debug assertions
    // reads the variable.
    test.env("TPMSSH_TEST_KDF", "cheap");
    test.args(options);
    test.args(["test", "--locked", "--no-fail-fast"]);
    if !args.iter().any(|arg| arg == "-p" || arg == "--package") {
        test.arg("--workspace");
    }
    test.args(args);
    if wanted == packages::For::WithoutPrograms {
        if !args.iter().any(|arg| arg == "--") {
            test.arg("--");
        }
        for without in [
            "programs::",
            "guide::programs",
            "provider::",
            "nothing_is_missing_here",
        ] {
            test.args(["--skip", without]);
        }
    }
    command::run(&mut test)
}
