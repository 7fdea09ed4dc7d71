//! The program and the module, as cargo builds them.

use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::command::{cargo, run};

/// Where the built files are.
pub(crate) struct Artifacts {
    /// The `tpmssh` program.
    pub(crate) tpmssh: PathBuf,
    /// `libtpmssh_pkcs11.so`.
    pub(crate) module: PathBuf,
}

/// Builds the program and the module with the dev profile, which the tests use as well.
///
/// # Errors
///
/// If the build fails.
pub(crate) fn build() -> Result<Artifacts> {
    run(cargo().args(["build", "--locked", "-p", "tpmssh", "-p", "tpmssh-pkcs11"]))?;
    // Cargo has put this program there as well.
    let xtask = std::env::current_exe().context("cannot find this program")?;
    let file = |name: &str| {
        let path = xtask.with_file_name(name);
        path.canonicalize()
            .with_context(|| format!("cargo did not make {}", path.display()))
    };
    Ok(Artifacts {
        tpmssh: file("tpmssh")?,
        module: file("libtpmssh_pkcs11.so")?,
    })
}
