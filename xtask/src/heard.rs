//! Commands whose output shows that they did something.
//!
//! An exit code of 0 does not: a test program with a name that no test has runs nothing and succeeds.

use std::{
    io::{BufRead, BufReader, Read, Write},
    os::unix::process::CommandExt,
    process::{Child, Command, Stdio},
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};

use crate::command;

/// The longest that test programs, which print a line for each test, may print nothing.
pub(crate) const SILENCE: Duration = Duration::from_secs(8 * 60);

/// How much is repeated of what a test said that failed.
const LINES: usize = 30;

/// Prints a command, runs it, and prints its standard output line by line. Returns that output.
///
/// # Errors
///
/// If the command cannot be started or fails, or the output cannot be read or written.
pub(crate) fn run(command: &mut Command) -> Result<String> {
    let line = command::line(command);
    eprintln!("$ {line}");
    let (mut child, output) = start(command, &line)?;
    let mut output = BufReader::new(output);
    let mut heard = Vec::new();
    let mut from = 0;
    while output.read_until(b'\n', &mut heard)? > 0 {
        std::io::stdout().write_all(&heard[from..])?;
        from = heard.len();
    }
    end(&mut child, &line, &heard)
}

/// As [`run`], and ends the command with all processes of its group if it prints nothing for `silence`. Then it shows what runs on this
/// machine, and names the tests that have not ended.
///
/// # Errors
///
/// As for [`run`], or if nothing is heard for so long.
pub(crate) fn run_lively(command: &mut Command, silence: Duration) -> Result<String> {
    let line = command::line(command);
    eprintln!("$ {line}");
    let (mut child, output) = start(command.process_group(0), &line)?;
    let (sender, lines) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(output).split(b'\n').map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    let mut heard = Vec::new();
    loop {
        match lines.recv_timeout(silence) {
            Ok(mut line) => {
                line.push(b'\n');
                std::io::stdout().write_all(&line)?;
                heard.extend_from_slice(&line);
            }
            Err(RecvTimeoutError::Disconnected) => return end(&mut child, &line, &heard),
            Err(RecvTimeoutError::Timeout) => {
                let mut list = Command::new("ps");
                let _ = list
                    .args([
                        "-e",
                        "--forest",
                        "--cols",
                        "160",
                        "-o",
                        "pid,stat,wchan:24,etime,args",
                    ])
                    .status();
                kill_group(&mut child)?;
                let hanging = not_ended(&String::from_utf8_lossy(&heard)).join(", ");
                bail!(
                    "`{line}` printed nothing for {} s and was ended; tests that had begun a minute before and did not end: {}",
                    silence.as_secs(),
                    if hanging.is_empty() { "none" } else { &hanging }
                );
            }
        }
    }
}

fn start(command: &mut Command, line: &str) -> Result<(Child, impl Read + Send + 'static)> {
    let mut child = command
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start `{line}`"))?;
    let output = child.stdout.take().context("it is a pipe")?;
    Ok((child, output))
}

fn end(child: &mut Child, line: &str, heard: &[u8]) -> Result<String> {
    let status = child.wait()?;
    let heard = String::from_utf8_lossy(heard).into_owned();
    ensure!(
        status.success(),
        "`{line}` failed ({status}){}",
        said_by_failed(&heard)
    );
    Ok(heard)
}

/// What tests that failed have said, the first [`LINES`] of each. It stands far above the end of the
/// output, because other test programs run after one that failed.
fn said_by_failed(output: &str) -> String {
    let mut said = String::new();
    let mut left = 0;
    for line in output.lines() {
        if line.starts_with("---- ") && line.ends_with(" ----") {
            left = LINES;
        } else if line == "failures:" {
            left = 0;
        }
        if left > 0 {
            said.push('\n');
            said.push_str(line);
            left -= 1;
        }
    }
    said
}

/// Kills a child that is the first process of its group, and the group.
fn kill_group(child: &mut Child) -> Result<()> {
    let group = i32::try_from(child.id()).ok();
    let group = group.and_then(rustix::process::Pid::from_raw);
    let group = group.context("a process has a number")?;
    rustix::process::kill_process_group(group, rustix::process::Signal::KILL)?;
    child.wait()?;
    Ok(())
}

/// The names of tests that libtest said to run for long, and of which it did not say how they ended.
fn not_ended(output: &str) -> Vec<&str> {
    let tests = || output.lines().filter_map(|it| it.strip_prefix("test "));
    let long = " has been running for over 60 seconds";
    tests()
        .filter_map(|it| it.strip_suffix(long))
        .filter(|name| {
            let end = format!("{name} ... ");
            !tests().any(|it| it.starts_with(&end))
        })
        .collect()
}

/// Runs test programs, of which at least one test must pass.
///
/// # Errors
///
/// As for [`run`], or if no test ran.
pub(crate) fn tests(command: &mut Command) -> Result<()> {
    let heard = run(command)?;
    some_passed(command, &heard)
}

/// As [`tests`], for programs that print a line for each test: if they print nothing for [`SILENCE`], a test hangs, and they are ended.
///
/// # Errors
///
/// As for [`tests`] and [`run_lively`].
pub(crate) fn many_tests(command: &mut Command) -> Result<()> {
    let heard = run_lively(command, SILENCE)?;
    some_passed(command, &heard)
}

fn some_passed(command: &Command, heard: &str) -> Result<()> {
    ensure!(
        passed(heard) > 0,
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
    fn what_failed_tests_said_is_at_the_end() {
        let output = "failures:\n\n---- a stdout ----\nit is 2\n\n\nfailures:\n    a\n";
        let script = format!("printf '%b' '{output}'; seq 100; exit 101");
        let err = run(&mut shell(&script)).expect_err("a test failed");
        let err = err.to_string();
        assert!(
            err.ends_with("(exit status: 101)\n---- a stdout ----\nit is 2\n\n"),
            "{err}"
        );
        let long = format!("---- a stdout ----\n{}", "a line\n".repeat(100));
        assert_eq!(said_by_failed(&long).lines().count(), 1 + LINES);
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

    #[test]
    fn a_command_that_prints_nothing_is_ended_with_what_it_started() {
        let begun = std::time::Instant::now();
        let said = "echo 'test a::b has been running for over 60 seconds'; echo 'test a::b ... ok'; \
            echo 'test a::c has been running for over 60 seconds'";
        let mut hanging = shell(&format!("{said}; sleep 600 & echo $!; wait"));
        let err = run_lively(&mut hanging, Duration::from_secs(2)).expect_err("it hangs");
        assert!(err.to_string().ends_with("did not end: a::c"), "{err}");
        assert!(begun.elapsed() < Duration::from_secs(60));
        let heard = run_lively(&mut shell("echo a; printf b"), SILENCE).expect("it succeeds");
        assert_eq!(heard, "a\nb\n");
    }
}
