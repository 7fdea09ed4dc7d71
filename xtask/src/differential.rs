//! `cargo xtask differential N`: comparing our parsers with OpenSSH's, with many inputs.

use std::ffi::OsString;

use anyhow::{Context, Result};

use crate::{command::cargo, heard, packages};

/// The default number of inputs of each kind.
const INPUTS: &str = "10000";

/// Compares keys, certificates, signatures of files, lists of allowed signers and revocation lists
/// with what `ssh-keygen` says of them, and destination constraints, session binds and logins with
/// what `ssh-agent` does: N changed inputs of each kind, in some minutes.
///
/// # Errors
///
/// If N is not a number, or an input is accepted that OpenSSH refuses.
pub(crate) fn run(args: &[OsString]) -> Result<()> {
    let inputs = args.first().map_or_else(|| INPUTS.into(), OsString::clone);
    inputs
        .to_str()
        .and_then(|text| text.parse::<u32>().ok())
        .context("how many inputs of each kind is to be a number")?;
    packages::install_missing(packages::For::All)?;
    for package in ["ssh-format", "agent"] {
        heard::tests(
            cargo()
                .args(["test", "--locked", "-p", package])
                .args(["--test", "differential", "--", "--nocapture"])
                .args(["--test-threads", "1"])
                .env("TPMSSH_DIFFERENTIAL", &inputs),
        )?;
    }
    Ok(())
}
