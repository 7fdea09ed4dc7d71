//! Showing a command and its output, and checking them.

use std::{
    fs::File,
    io::{BufRead, BufReader, pipe},
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail, ensure};
use testing::Home;

use crate::command::{line, quote};

use super::interrupt;

/// The present step, for errors.
#[derive(Default)]
pub(super) struct Show {
    steps: usize,
    title: String,
}

impl Show {
    /// How many steps there were so far.
    pub(super) fn steps(&self) -> usize {
        self.steps
    }

    /// The number and title of the present step, for an error.
    pub(super) fn whereabouts(&self) -> String {
        format!("demo failed at step {} ({})", self.steps, self.title)
    }

    /// Prints the environment that commands run in.
    pub(super) fn environment(&self, title: &str, home: &Home) {
        println!("{title}");
        for (name, value) in home.env() {
            println!("  {}={}", name.to_string_lossy(), value.to_string_lossy());
        }
    }

    /// Begins a step.
    ///
    /// # Errors
    ///
    /// If there was a Ctrl-C.
    pub(super) fn step(&mut self, title: &str) -> Result<()> {
        self.steps += 1;
        self.title = title.to_owned();
        println!("\n== {}. {title}", self.steps);
        interrupt::check()
    }

    /// Runs a command that must succeed; returns its output, standard error included.
    ///
    /// # Errors
    ///
    /// If it does not succeed.
    pub(super) fn run(&self, command: &mut Command) -> Result<String> {
        self.fail(command, 0)
    }

    /// Runs a command that must end with this exit code; returns its output.
    ///
    /// # Errors
    ///
    /// If it ends with another exit code.
    pub(super) fn fail(&self, command: &mut Command, code: i32) -> Result<String> {
        let shown = line(command);
        println!("$ {}{shown}", variables(command));
        // One pipe for both, so that the lines come in the order in which they were printed.
        let (reader, writer) = pipe()?;
        command.stdout(writer.try_clone()?).stderr(writer);
        let mut child = command
            .spawn()
            .with_context(|| format!("cannot start `{shown}`"))?;
        interrupt::running(Some(child.id()));
        // Drops the other writing ends: without this the pipe would never end.
        command.stdout(Stdio::null()).stderr(Stdio::null());

        let mut output = String::new();
        for line in BufReader::new(reader).split(b'\n') {
            let line = line?;
            let line = String::from_utf8_lossy(&line);
            println!("  {line}");
            output.push_str(&line);
            output.push('\n');
        }
        interrupt::running(None);
        let status = child.wait()?;
        interrupt::check()?;
        ensure!(
            status.code() == Some(code),
            "`{shown}` ended with {status} instead of exit code {code}"
        );
        Ok(output)
    }

    /// Runs a command that must succeed with its standard output in `file`.
    ///
    /// # Errors
    ///
    /// If it does not succeed.
    pub(super) fn run_into(&self, file: &Path, command: &mut Command) -> Result<()> {
        let shown = line(command);
        println!("$ {}{shown} > {}", variables(command), file.display());
        let file =
            File::create(file).with_context(|| format!("cannot write {}", file.display()))?;
        let status = command
            .stdout(file)
            .status()
            .with_context(|| format!("cannot start `{shown}`"))?;
        interrupt::check()?;
        ensure!(status.success(), "`{shown}` failed ({status})");
        Ok(())
    }
}

/// The variables of this command besides those of [`Show::environment`], as words for a shell.
fn variables(command: &Command) -> String {
    command
        .get_envs()
        .filter(|(name, _)| {
            ["SSH_ASKPASS", "SSH_ASKPASS_REQUIRE", "SSH_AUTH_SOCK", "PIN"]
                .iter()
                .any(|shown| name == shown)
        })
        .filter_map(|(name, value)| {
            let value = value?.to_string_lossy();
            Some(format!("{}={} ", name.to_string_lossy(), quote(&value)))
        })
        .collect()
}

/// Checks that an output contains a text.
///
/// # Errors
///
/// If it does not.
pub(super) fn expect(output: &str, text: &str) -> Result<()> {
    if !output.contains(text) {
        bail!("the output does not contain {text:?}");
    }
    Ok(())
}

/// Checks that an output does not contain a text.
///
/// # Errors
///
/// If it does.
pub(super) fn expect_no(output: &str, text: &str) -> Result<()> {
    if output.contains(text) {
        bail!("the output contains {text:?}");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str) -> Command {
        let mut sh = Command::new("sh");
        sh.args(["-c", script]);
        sh
    }

    #[test]
    fn output_comes_in_the_order_in_which_it_was_printed() {
        let output = Show::default().run(&mut sh("echo one; echo two >&2; echo three"));
        assert_eq!(output.expect("sh succeeds"), "one\ntwo\nthree\n");
    }

    #[test]
    fn only_the_expected_exit_code_is_accepted() {
        let show = Show::default();
        assert!(show.run(&mut sh("exit 0")).is_ok());
        assert!(show.fail(&mut sh("exit 3"), 3).is_ok());
        let err = show.fail(&mut sh("exit 0"), 3).expect_err("0 is not 3");
        assert!(err.to_string().ends_with("instead of exit code 3"), "{err}");
        assert!(show.run(&mut sh("kill -9 $$")).is_err());
        assert!(show.run(&mut Command::new("/no/such/program")).is_err());
    }

    #[test]
    fn an_error_says_where_the_show_was() {
        let mut show = Show::default();
        show.step("First").expect("no Ctrl-C");
        show.step("Second").expect("no Ctrl-C");
        assert_eq!(show.whereabouts(), "demo failed at step 2 (Second)");
    }

    #[test]
    fn only_variables_that_matter_are_shown() {
        let mut command = sh("true");
        command.env("HOME", "/x").env("SSH_AUTH_SOCK", "/x/agent");
        assert_eq!(variables(&command), "SSH_AUTH_SOCK=/x/agent ");
    }
}
