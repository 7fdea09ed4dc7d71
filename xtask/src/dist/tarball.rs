//! The tarball: everything below `/usr/local`, to be unpacked anywhere.

use std::path::Path;
use std::process::Command;

use anyhow::Result;

use super::{Release, lay_out};
use crate::command;
use crate::payload::Item;

/// Writes the tarball; `name` is the directory in it.
///
/// # Errors
///
/// If it cannot be written.
pub(super) fn write(to: &Path, name: &str, items: Vec<Item>, release: &Release) -> Result<()> {
    let work = tempfile::tempdir()?;
    lay_out(&work.path().join(name), &items)?;
    command::run(
        Command::new("tar")
            .args(["--sort=name", "--owner=0", "--group=0", "--numeric-owner"])
            .arg(format!("--mtime=@{}", release.date))
            .args(["--format=ustar", "--use-compress-program=gzip -9n", "-C"])
            .arg(work.path())
            .arg("-cf")
            .arg(to)
            .arg(name),
    )
}
