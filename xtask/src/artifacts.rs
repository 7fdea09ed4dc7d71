//! The programs and the module, as cargo builds them.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};

use crate::command::{cargo, run};

/// The file name of the module.
const MODULE: &str = "libtpmssh_pkcs11.so";

/// The directory of the built files.
pub(crate) struct Artifacts {
    /// The directory of the `tpmssh` program.
    pub(crate) dir: PathBuf,
    /// `libtpmssh_pkcs11.so`, with its canonical path, as ssh-agent wants it.
    pub(crate) module: PathBuf,
}

/// Builds the programs and the module with the dev profile, which the tests use as well.
///
/// # Errors
///
/// If the build fails.
pub(crate) fn build() -> Result<Artifacts> {
    let packages = ["-p", "tpmssh", "-p", "tpmssh-pkcs11", "-p", "ca-server"];
    run(cargo().args(["build", "--locked"]).args(packages))?;
    built()
}

/// The files of an earlier build. Cargo puts them beside this program.
///
/// # Errors
///
/// If they are not there.
pub(crate) fn built() -> Result<Artifacts> {
    let xtask = std::env::current_exe().context("cannot find this program")?;
    let dir = xtask.parent().context("this program is in no directory")?;
    for name in ["tpmssh", "tpmssh-ca", MODULE] {
        ensure!(
            dir.join(name).is_file(),
            "cargo did not make {name} in {}",
            dir.display()
        );
    }
    Ok(Artifacts {
        dir: dir.to_owned(),
        module: dir.join(MODULE).canonicalize()?,
    })
}
