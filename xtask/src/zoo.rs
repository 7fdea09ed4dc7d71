//! `cargo xtask zoo FILE`: the whole life of a token on the chips of a file.

use std::{ffi::OsString, path::Path};

use anyhow::{Result, bail};

use crate::{command::cargo, heard, packages};

/// Plays each chip of the file in the states that Windows, systemd and a factory leave, or in those
/// that are named in the arguments.
///
/// # Errors
///
/// If a package cannot be installed, the build fails, or a test with a chip fails.
pub(crate) fn run(args: &[OsString]) -> Result<()> {
    let [file, states @ ..] = args else {
        bail!("which file? tpmssh doctor --report writes one");
    };
    let file = Path::new(file).canonicalize()?;
    packages::install_missing(packages::For::All)?;
    let mut test = cargo();
    test.args(["test", "--locked", "-p", "tpmssh", "--test", "e2e"])
        .args(["zoo::the_chips_of_a_file", "--", "--exact", "--nocapture"])
        .env("TPMSSH_ZOO", &file);
    if !states.is_empty() {
        test.env("TPMSSH_ZOO_STATES", states.join(" ".as_ref()));
    }
    heard::tests(&mut test)
}
