//! What the program prints: data on stdout for people or as JSON, everything else on stderr.

use std::ffi::OsString;
use std::fmt;
use std::io::{self, Write};

use serde::Serialize;

use crate::fail::error::Error;

/// Prints the result of a command.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    json: bool,
}

impl Output {
    pub(crate) fn new(json: bool) -> Self {
        Self { json }
    }

    /// Whether `--json` was given.
    pub(crate) fn is_json(self) -> bool {
        self.json
    }

    /// Writes `report` to stdout: as JSON with `--json`, else as text.
    ///
    /// # Errors
    ///
    /// If stdout cannot be written.
    pub(crate) fn print(self, report: &(impl Serialize + fmt::Display)) -> anyhow::Result<()> {
        Ok(write(&self.text(report)?)?)
    }

    /// Writes the report of something that cannot be taken back.
    ///
    /// `done` says what is done, as a sentence, and `hint` how to see the report after all.
    ///
    /// # Errors
    ///
    /// [`Error::DoneUnseen`] if stdout cannot be written.
    pub(crate) fn print_done(
        self,
        report: &(impl Serialize + fmt::Display),
        done: &str,
        hint: &'static str,
    ) -> anyhow::Result<()> {
        let written = write(&self.text(report)?);
        Ok(written.map_err(|err| match err {
            Error::Stdout(source) => Error::DoneUnseen {
                done: done.to_owned(),
                to: "stdout",
                hint,
                source,
            },
            err => err,
        })?)
    }

    /// Says that something is done: a line on stderr, or `{"done": "…"}` on stdout with `--json`.
    ///
    /// `done` is a sentence that names what was changed.
    ///
    /// # Errors
    ///
    /// [`Error::DoneUnseen`] if stdout cannot be written.
    pub(crate) fn done(self, done: &str) -> anyhow::Result<()> {
        #[derive(Serialize)]
        struct Done<'a> {
            done: &'a str,
        }
        if !self.json {
            tell(&format!("tpmssh: {done}"));
            return Ok(());
        }
        let text = serde_json::to_string_pretty(&Done { done })? + "\n";
        Ok(write(&text).map_err(|err| match err {
            Error::Stdout(source) => Error::DoneUnseen {
                done: done.to_owned(),
                to: "stdout",
                hint: "it need not be done again",
                source,
            },
            err => err,
        })?)
    }

    fn text(self, report: &(impl Serialize + fmt::Display)) -> anyhow::Result<String> {
        let mut text = if self.json {
            serde_json::to_string_pretty(report)?
        } else {
            report.to_string()
        };
        if !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        Ok(text)
    }
}

/// Whether `--json` is among the arguments of a command that is not understood.
pub(crate) fn json_asked_for(args: impl IntoIterator<Item = OsString>) -> bool {
    args.into_iter()
        .take_while(|arg| arg != "--")
        .any(|arg| arg == "--json")
}

/// Writes `text` to stdout as it is.
///
/// # Errors
///
/// If stdout cannot be written.
pub(crate) fn write(text: &str) -> Result<(), Error> {
    write_bytes(text.as_bytes())
}

/// Writes `bytes` to stdout as they are.
///
/// # Errors
///
/// If stdout cannot be written.
pub(crate) fn write_bytes(bytes: &[u8]) -> Result<(), Error> {
    let mut stdout = io::stdout().lock();
    stdout
        .write_all(bytes)
        .and_then(|()| stdout.flush())
        .map_err(Error::Stdout)
}

/// Tells the person something that is not data; never fails.
pub(crate) fn tell(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// The causes of `err`, outermost first, as the one line that is shown for it.
pub(crate) fn error_line(err: &anyhow::Error) -> String {
    ssh_format::text::error_line(err.as_ref())
}

/// `text` as part of a line, with invisible characters escaped.
///
/// Texts come from the store, from other programs and from other people: they must not start
/// lines, move the cursor or look like something else. Names between quotation marks go through
/// [`ssh_format::text::shown`].
pub(crate) fn escape(text: &str) -> String {
    ssh_format::text::one_line(text).into_owned()
}

/// Names and values, one pair to a line.
#[derive(Debug, Default)]
pub(crate) struct Facts(Vec<(&'static str, String)>);

impl Facts {
    /// Adds a line; the value is escaped.
    pub(crate) fn add(&mut self, name: &'static str, value: impl fmt::Display) {
        self.0.push((name, escape(&value.to_string())));
    }
}

impl fmt::Display for Facts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.0.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
        for (name, value) in &self.0 {
            writeln!(f, "{name:width$}  {value}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;

    #[test]
    fn a_label_cannot_act_on_the_terminal() {
        assert_eq!(escape("a\x1b[2J\nb\u{9b}"), "a\\u{1b}[2J\\nb\\u{9b}");
        assert_eq!(escape("\u{202e}gpj.exe"), "\\u{202e}gpj.exe");
        assert_eq!(escape("clé d'été 鍵 \\"), "clé d'été 鍵 \\");
    }

    #[test]
    fn the_chain_of_causes_is_one_line_that_says_nothing_twice() {
        let err = anyhow!("disk\nfull")
            .context("cannot write")
            .context("cannot write");
        assert_eq!(error_line(&err), "cannot write: disk\\nfull");
    }
}
