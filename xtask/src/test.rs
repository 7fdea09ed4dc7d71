//! `cargo xtask test`: all tests of the workspace.

mod times;

use std::{ffi::OsString, fs, thread};

use anyhow::{Context, Result};

use crate::{
    artifacts,
    command::{self, cargo},
    heard, kernel, packages,
};

pub(crate) use times::timed;

/// Prints how long each test program ran, also if tests failed.
const TIMES: &str = "--times";

/// Leaves out the tests below `tests/programs/`, and the packages that only these need.
const WITHOUT_PROGRAMS: &str = "--without-programs";

/// Seconds after which a program that a test has started is killed. The longest tests take a third of that on a busy machine.
pub(crate) const PROGRAM_LIMIT: &str = "300";

/// How many tests run at once for each processor: half of the time they wait for other processes.
const TESTS_PER_PROCESSOR: usize = 2;

/// Builds the program and the module, then runs all tests, to the end even if some fail.
///
/// `args` are for `cargo test`, such as `-p tpm-core` or `-- --nocapture`, but for [`TIMES`] and
/// [`WITHOUT_PROGRAMS`] before a `--`.
///
/// # Errors
///
/// If a package cannot be installed, the build fails or a test fails.
pub(crate) fn run(args: &[OsString]) -> Result<()> {
    let (options, args) = own(args);
    let wanted = if options.contains(&WITHOUT_PROGRAMS) {
        packages::For::WithoutPrograms
    } else {
        packages::For::All
    };
    if !options.contains(&TIMES) {
        return tests(wanted, &[], args);
    }
    let dir = tempfile::tempdir()?;
    let file = dir.path().join("times");
    let outcome = tests(wanted, &times::runner(&file)?, args);
    eprint!("{}", times::table(&file).unwrap_or_default());
    outcome
}

/// Takes the options of this chore, in any order, out of the arguments before a `--`.
fn own(args: &[OsString]) -> (Vec<&'static str>, Vec<OsString>) {
    let end = args.iter().position(|arg| arg == "--");
    let (before, after) = args.split_at(end.unwrap_or(args.len()));
    let (mut options, mut rest) = (Vec::new(), Vec::new());
    for arg in before {
        match [TIMES, WITHOUT_PROGRAMS].iter().find(|name| arg == *name) {
            Some(name) => options.push(*name),
            None => rest.push(arg.clone()),
        }
    }
    rest.extend(after.iter().cloned());
    (options, rest)
}

/// The tests by cargo: `options` are cargo's own, `args` are those of `cargo test`.
fn tests(wanted: packages::For, options: &[OsString], args: Vec<OsString>) -> Result<()> {
    packages::install_missing(wanted)?;
    kernel::fetch()?;
    artifacts::build()?;
    let mut test = cargo();
    // Makes tokens of tests cheap, because they protect nothing. Only a build with debug assertions
    // reads the variable.
    test.env("TPMSSH_TEST_KDF", "cheap");
    test.env("TPMSSH_TEST_LIMIT", PROGRAM_LIMIT);
    if std::env::var_os("RUST_TEST_THREADS").is_none() {
        let processors = thread::available_parallelism().map_or(1, usize::from);
        let tests = processors * TESTS_PER_PROCESSOR;
        test.env("RUST_TEST_THREADS", tests.to_string());
    }
    test.args(options);
    test.args(["test", "--locked", "--no-fail-fast"]);
    if !args.iter().any(|arg| arg == "-p" || arg == "--package") {
        test.arg("--workspace");
    }
    let has_end = args.iter().any(|arg| arg == "--");
    test.args(args);
    if wanted == packages::For::WithoutPrograms {
        if !has_end {
            test.arg("--");
        }
        for without in tests_with_programs()? {
            test.args(["--skip", &without]);
        }
    }
    if std::env::var_os("CI").is_none() {
        return command::run(&mut test);
    }
    // In CI nobody sees that a test hangs, so a run that is silent for too long is ended. Compiling may
    // be silent for longer, so it is done before.
    let mut build = cargo();
    build
        .args(options)
        .args(["test", "--locked", "--workspace", "--no-run"]);
    command::run(&mut build)?;
    heard::many_tests(&mut test)
}

/// Parts of names: each test that needs other programs has one of them in its name, and no other test has.
fn tests_with_programs() -> Result<Vec<String>> {
    let mut names = vec![
        "guide::programs".to_owned(),
        "provider::".to_owned(),
        "nothing_is_missing_here".to_owned(),
    ];
    let dir = command::root().join("tests/programs");
    for entry in fs::read_dir(&dir).context("no tests/programs")? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "rs") {
            let file = path.file_stem().context("a file has a name")?;
            names.push(format!("programs::{}::", file.to_string_lossy()));
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_options_of_the_chore_stand_anywhere_before_the_end() {
        let words = |line: &str| line.split(' ').map(OsString::from).collect::<Vec<_>>();
        for (line, options, rest) in [
            ("-p x --times", &[TIMES][..], "-p x"),
            (
                "--without-programs --times y",
                &[WITHOUT_PROGRAMS, TIMES],
                "y",
            ),
            ("x -- --times", &[], "x -- --times"),
        ] {
            assert_eq!(own(&words(line)), (options.to_vec(), words(rest)), "{line}");
        }
    }

    /// A unit test of a module `programs` also runs if nothing is installed.
    #[test]
    fn only_tests_that_need_programs_are_left_out() {
        let left_out = tests_with_programs().expect("the directory is there");
        let is_left_out = |name: &str| left_out.iter().any(|part| name.contains(part));
        assert!(is_left_out(
            "programs::java::keytool_makes_a_key_in_the_token"
        ));
        assert!(is_left_out("guide::programs"));
        assert!(!is_left_out("cmd::doctor::programs::tests::a_version"));
        assert!(!is_left_out("guide::start"));
    }
}
