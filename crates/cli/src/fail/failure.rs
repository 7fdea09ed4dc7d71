//! How the program ends when something failed: the lines it prints and its exit code.

use std::io;
use std::process::ExitCode;

use anyhow::Context;
use serde::Serialize;

use crate::fail::error::Error;
use crate::fail::known;
use crate::show::output::{self, error_line, escape};
use crate::show::style::{self, Tone};

/// Prints the error and its hint, as JSON if `json`; returns the exit code.
pub(crate) fn report(err: &anyhow::Error, json: bool) -> ExitCode {
    let code = known::kind(err).exit_code();
    if !reader_is_gone(err) {
        tell(&error_line(err), known::hint(err).as_deref(), code, json);
    }
    ExitCode::from(code)
}

/// Prints an error, as one line, and what to try.
pub(crate) fn tell(error: &str, hint: Option<&str>, exit_code: u8, json: bool) {
    if json {
        let failure = Failure {
            error,
            hint,
            exit_code,
        };
        if let Ok(line) = serde_json::to_string(&failure) {
            output::tell(&line);
        }
        return;
    }
    let name = style::on_stderr(Tone::Bad, "tpmssh:");
    output::tell(&format!("{name} {error}"));
    if let Some(hint) = hint {
        let name = style::on_stderr(Tone::Hint, "hint:");
        output::tell(&format!("{name} {}", escape(hint)));
    }
}

/// A failure as `--json` shows it: the last line of stderr.
#[derive(Debug, Serialize)]
struct Failure<'a> {
    error: &'a str,
    /// What to try; null if there is nothing to try.
    hint: Option<&'a str>,
    exit_code: u8,
}

/// Adds what a failure prevented, unless the error itself says how far it came.
///
/// # Errors
///
/// That of `result`.
pub(crate) fn prevented<T>(
    result: token_store::Result<T>,
    what: &'static str,
) -> anyhow::Result<T> {
    use token_store::Error as Store;
    match result {
        Err(
            err @ (Store::Unrecorded { .. } | Store::Unknown { .. } | Store::WrongLimit { .. }),
        ) => Err(err.into()),
        result => result.context(what),
    }
}

/// Whether the reader of stdout has gone, as in `tpmssh … | head`. That is not reported.
fn reader_is_gone(err: &anyhow::Error) -> bool {
    matches!(
        err.downcast_ref(),
        Some(Error::Stdout(err)) if err.kind() == io::ErrorKind::BrokenPipe
    )
}
