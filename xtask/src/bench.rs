//! `cargo xtask bench`: what tpmssh costs beyond the chip.

use std::{ffi::OsString, process::Command};

use anyhow::Result;

use crate::{
    command::{self, cargo, root},
    packages,
};

/// Builds everything with the release profile and measures it. `args` are those of the bench:
/// `--quick`, `--json FILE`, `--check`, `--publish`, `--from FILE`.
///
/// # Errors
///
/// If a package cannot be installed, the build fails, something that is to be measured does
/// not work, or a budget is missed.
pub(crate) fn run(args: &[OsString]) -> Result<()> {
    packages::install_missing(packages::For::All)?;
    command::run(cargo().args(["build", "--release", "--locked"]).args([
        "-p",
        "tpmssh",
        "-p",
        "tpmssh-pkcs11",
        "-p",
        "ca-server",
        "-p",
        "bench",
    ]))?;
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), Into::into);
    command::run(Command::new(target.join("release/bench")).args(args))
}
