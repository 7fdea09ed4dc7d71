//! How the program ends when something failed: the lines it prints and its exit code.

use std::io;
use std::process::ExitCode;

use anyhow::Context;
use serde::Serialize;
use token_store::Kind;

use crate::fail::error::Error;
use crate::fail::hint;
use crate::machine::simulator;
use crate::show::output::{self, error_line, escape};
use crate::show::style::{self, Tone};

/// Prints the error and its hint, as JSON if `json`; returns the exit code.
pub(crate) fn report(err: &anyhow::Error, json: bool) -> ExitCode {
    let code = kind(err).exit_code();
    if !reader_is_gone(err) {
        tell(&error_line(err), hint::find(err).as_deref(), code, json);
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
    /// What to try; null where there is nothing.
    hint: Option<&'a str>,
    exit_code: u8,
}

/// Says of a failure what it prevented, unless the failure itself says how far it came.
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

/// What sort of failure this is, by the first cause that knows.
pub(crate) fn kind(err: &anyhow::Error) -> Kind {
    err.chain()
        .find_map(|cause| {
            if let Some(err) = cause.downcast_ref::<token_store::Error>() {
                Some(err.kind())
            } else if let Some(err) = cause.downcast_ref::<Error>() {
                Some(err.kind())
            } else if let Some(err) = cause.downcast_ref::<agent::Error>() {
                Some(err.kind())
            } else if let Some(err) = cause.downcast_ref::<ssh_format::Error>() {
                Some(ssh_kind(err))
            } else if let Some(err) = cause.downcast_ref::<key_proof::Error>() {
                Some(proof_kind(err))
            } else {
                cause.downcast_ref().map(simulator::Error::kind)
            }
        })
        .unwrap_or(Kind::Failed)
}

/// What sort of failure a key, certificate or signature that somebody else made is.
fn ssh_kind(err: &ssh_format::Error) -> Kind {
    match err {
        ssh_format::Error::BadSignature
        | ssh_format::Error::HalvesDiffer
        | ssh_format::Error::Namespace { .. }
        | ssh_format::Error::UnknownCriticalOption(_) => Kind::KeyRefused,
        _ => Kind::Usage,
    }
}

/// What sort of failure a proof or a file of its family is.
fn proof_kind(err: &key_proof::Error) -> Kind {
    match err {
        key_proof::Error::Malformed { .. } | key_proof::Error::OtherFile { .. } => Kind::Usage,
        _ => Kind::KeyRefused,
    }
}

/// `tpmssh … | head`: nobody is left to read, and nobody needs to hear of it.
fn reader_is_gone(err: &anyhow::Error) -> bool {
    matches!(
        err.downcast_ref(),
        Some(Error::Stdout(err)) if err.kind() == io::ErrorKind::BrokenPipe
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kind_is_found_below_what_was_said_about_it() {
        let failed = |err: anyhow::Error| kind(&err).exit_code();
        let err = Err::<(), _>(token_store::Error::PinLocked).context("cannot make a key");
        assert_eq!(failed(err.unwrap_err()), 4);
        let exposed = Error::ExposedFile {
            path: "/pin".into(),
        };
        assert_eq!(failed(exposed.into()), 9);
        assert_eq!(failed(simulator::Error::NotInstalled.into()), 5);
        assert_eq!(failed(anyhow::anyhow!("anything else")), 1);
    }
}
