//! `cargo xtask ci`: everything that must be in order before a change is merged.

use anyhow::Result;

use crate::{
    command::{self, cargo, root},
    demo, packages, test,
};

/// Formatting, lints and documentation without a warning, fuzz targets that build, the demo, and
/// all tests.
///
/// # Errors
///
/// The first of these that is not in order.
pub(crate) fn run() -> Result<()> {
    packages::install_missing()?;
    command::run(cargo().args(["fmt", "--all", "--check"]))?;
    command::run(
        cargo()
            .args(["clippy", "--workspace", "--all-targets", "--locked"])
            .args(["--", "-D", "warnings"]),
    )?;
    command::run(
        cargo()
            .args(["doc", "--workspace", "--no-deps", "--locked"])
            .env("RUSTDOCFLAGS", "-D warnings"),
    )?;
    command::run(
        cargo()
            .args(["check", "--locked", "--manifest-path", "fuzz/Cargo.toml"])
            // It is a workspace of its own.
            .env("CARGO_TARGET_DIR", root().join("target/fuzz"))
            // As cargo-fuzz does: it opens what the targets use.
            .env("RUSTFLAGS", "--cfg fuzzing"),
    )?;
    demo::run()?;
    test::run(&[])
}
