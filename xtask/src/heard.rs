//! Commands whose output shows that they did something.
//!
//! An exit code of 0 does not: a test program with a name that no test has runs nothing and succeeds.

use std::{
    io::{BufRead, BufReader, Write},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, ensure};

use crate::command;

/// Prints a command, runs it, and prints its standard output line by line. Returns that output.
///
/// # Errors
///
/// If the command cannot be started or fails, or the output cannot be read or written.
pub(crate) fn run(command: &mut Command) -> Result<String> {
    let line = command::line(command);
    eprintln!("$ {line}");
    let mut child = command
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start `{line}`"))?;
    let mut output = BufReader::new(child.stdout.take().context("it is a pipe")?);
    let mut heard = Vec::new();
    let mut from = 0;
    while output.read_until(b'\n', &mut heard)? > 0 {
        std::io::stdout().write_all(&heard[from..])?;
        from = heard.len();
    }
    let status = child.wait()?;
    ensure!(status.success(), "`{line}` failed ({status})");
    Ok(String::from_utf8_lossy(&heard).into_owned())
}

/// Runs test programs, of which at least one test must pass.
///
/// # Errors
///
/// As for [`run`], or if no test ran.
pub(crate) fn tests(command: &mut Command) -> Result<()> {
    let heard = run(command)?;
    ensure!(
        passed(&heard) > 0,
        "`{}` ran no test",
        command::line(command)
    );
    Ok(())
}

/// How many tests passed, by the last lines of test programs.
fn passed(output: &str) -> u64 {
    output
        .lines()
        .filter_map(|line| line.strip_prefix("test result: ok. "))
        .filter_map(|rest| rest.split(' ').next()?.parse::<u64>().ok())
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut sh = Command::new("sh");
        sh.args(["-c", script]);
        sh
    }

    #[test]
    fn the_output_is_returned_with_a_last_line_that_has_no_end() {
        let heard = run(&mut shell("echo a; printf b")).expect("it succeeds");
        assert_eq!(heard, "a\nb");
    }

    #[test]
    fn a_command_that_fails_after_all_its_output_fails() {
        let err = run(&mut shell("echo 1 passed; exit 3")).expect_err("it fails");
        assert!(err.to_string().contains("exit status: 3"), "{err}");
    }

    #[test]
    fn test_programs_that_run_no_test_fail() {
        let result =
            |n: u8| format!("echo 'test result: ok. {n} passed; 0 failed; 9 filtered out'");
        tests(&mut shell(&format!("{}; {}", result(0), result(2)))).expect("two tests ran");
        for nothing in [result(0), "true".to_owned()] {
            let err = tests(&mut shell(&nothing)).expect_err("no test ran");
            assert!(err.to_string().ends_with("ran no test"), "{err}");
        }
    }
}
