//! How the program ends when something failed: the lines it prints and its exit code.

use std::io;
use std::process::ExitCode;

use anyhow::Context;
use token_store::Kind;

use crate::fail::error::Error;
use crate::fail::hint;
use crate::machine::simulator;
use crate::show::output::{error_line, escape, tell};

/// Prints the error and its hint; returns the exit code.
pub(crate) fn report(err: &anyhow::Error) -> ExitCode {
    if !reader_is_gone(err) {
        tell(&format!("tpmssh: {}", error_line(err)));
        if let Some(hint) = hint::find(err) {
            tell(&format!("hint: {}", escape(&hint)));
        }
    }
    ExitCode::from(kind(err).exit_code())
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
        | ssh_format::Error::Namespace { .. }
        | ssh_format::Error::UnknownCriticalOption(_) => Kind::KeyRefused,
        _ => Kind::Usage,
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
