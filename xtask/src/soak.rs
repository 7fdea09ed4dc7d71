//! `cargo xtask soak [MINUTES] [SEED]`: a mixed load with faults, on both stacks.

use std::ffi::OsString;

use anyhow::{Context, Result};

use crate::{
    command::{self, cargo},
    heard, packages,
};

/// Runs the load for a number of minutes (default 30), with the steps from a seed (default 1).
///
/// # Errors
///
/// If a package cannot be installed, the build fails, or the load fails.
pub(crate) fn run(args: &[OsString]) -> Result<()> {
    let number = |at: usize, usual: u64| match args.get(at).and_then(|arg| arg.to_str()) {
        None => Ok(usual),
        Some(text) => text
            .parse()
            .with_context(|| format!("not a number: {text}")),
    };
    run_for(number(0, 30)?, number(1, 1)?)
}

/// As [`run`], with numbers.
///
/// # Errors
///
/// As for [`run`].
pub(crate) fn run_for(minutes: u64, seed: u64) -> Result<()> {
    packages::install_missing(packages::For::All)?;
    command::run(cargo().args(["build", "--locked", "--workspace"]))?;
    let name = "soak::a_mixed_load_with_faults_loses_nothing_and_grows_nowhere";
    heard::tests(
        cargo()
            .args(["test", "--locked", "-p", "tpmssh", "--test", "e2e"])
            .args([name, "--", "--exact", "--nocapture"])
            .env("TPMSSH_SOAK_SECONDS", (60 * minutes).to_string())
            .env("TPMSSH_SOAK_SEED", seed.to_string()),
    )
}
