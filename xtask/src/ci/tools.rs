//! Programs that only CI runs, built from crates.io.

use std::path::PathBuf;

use anyhow::Result;

use crate::command::{self, cargo, target};

/// A program, its package and version on crates.io.
pub(super) struct Tool {
    pub(super) package: &'static str,
    pub(super) version: &'static str,
    pub(super) program: &'static str,
}

impl Tool {
    /// The path of the program. If this build directory does not have it, builds it first.
    ///
    /// It is built without optimization, which halves the time of the build; it runs only for
    /// seconds. The program stays in `tools` of the build directory. Nothing is installed on the
    /// machine.
    ///
    /// # Errors
    ///
    /// If it cannot be built.
    pub(super) fn path(&self) -> Result<PathBuf> {
        let root = target()?
            .join("tools")
            .join(self.package)
            .join(self.version);
        let program = root.join("bin").join(self.program);
        if !program.is_file() {
            command::run(
                cargo()
                    .args(["install", "--quiet", "--debug", "--locked", "--root"])
                    .arg(&root)
                    .args(["--version", self.version, self.package])
                    .env("CARGO_TARGET_DIR", target()?.join("tools/build"))
                    .env("CARGO_PROFILE_DEV_DEBUG", "0"),
            )?;
        }
        Ok(program)
    }
}
