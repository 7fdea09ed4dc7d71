//! The oldest versions of other crates that the manifests allow.

use std::{fs, process::Command};

use anyhow::{Context, Result, ensure};

use crate::command::{self, cargo, root, target};

use super::libraries::{LIBRARIES, UNOPTIMIZED};

/// Checks that the libraries compile with the oldest version of each direct dependency.
///
/// The programs are built with the lock file, so only those who depend on the libraries meet other versions.
///
/// It is done in a copy, so that the lock file here is not changed. Cargo's option is unstable and
/// the toolchain is stable. The variable enables unstable options for cargo and not for rustc.
///
/// # Errors
///
/// If a manifest allows a version that is too old.
pub(super) fn check() -> Result<()> {
    let dir = target()?.join("minimal");
    let copy = dir.join("copy");
    if copy.exists() {
        fs::remove_dir_all(&copy)?;
    }
    for file in tracked()? {
        let (from, to) = (root().join(&file), copy.join(&file));
        // The file was deleted and the deletion is not committed yet.
        if file != "Cargo.lock" && from.is_file() {
            fs::create_dir_all(to.parent().context("a file is in a directory")?)?;
            fs::copy(&from, &to).with_context(|| format!("cannot copy {file}"))?;
        }
    }
    command::run(
        cargo()
            .args([
                "-Z",
                "direct-minimal-versions",
                "--quiet",
                "generate-lockfile",
            ])
            .env("RUSTC_BOOTSTRAP", "1")
            .current_dir(&copy),
    )?;
    let mut check = cargo();
    check
        .args(["check", "--lib", "--locked", "--all-features"])
        .args(UNOPTIMIZED);
    for library in LIBRARIES {
        check.args(["-p", library]);
    }
    command::run(
        check
            .env("CARGO_TARGET_DIR", dir.join("build"))
            .current_dir(&copy),
    )
}

/// The files of the repository, relative to its root.
pub(super) fn tracked() -> Result<Vec<String>> {
    let output = Command::new("git")
        .args(["ls-files", "-z"])
        .current_dir(root())
        .output()
        .context("cannot start git")?;
    ensure!(
        output.status.success(),
        "git ls-files: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let names = String::from_utf8(output.stdout).context("a file name is no text")?;
    let names = names.split_terminator('\0').map(str::to_owned);
    Ok(names.collect())
}
