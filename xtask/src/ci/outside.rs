//! A program outside of the workspace that depends on the libraries: `tests/outside`.

use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use testing::Swtpm;

use crate::command::{self, cargo, target};

const MANIFEST: &str = "tests/outside/Cargo.toml";

/// Builds the program with its own lock file, and runs it with a TPM simulator of its own.
///
/// # Errors
///
/// If it does not build, or prints another text than it should.
pub(super) fn run() -> Result<()> {
    let dir = target()?.join("outside");
    command::run(
        cargo()
            .args(["build", "--locked", "--manifest-path", MANIFEST])
            .env("CARGO_TARGET_DIR", &dir),
    )?;
    let swtpm = Swtpm::start();
    let output = Command::new(dir.join("debug/outside"))
        .arg(swtpm.tcti())
        .stderr(Stdio::inherit())
        .output()
        .context("cannot start the program")?;
    let printed = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success(), "the program failed: {printed}");
    ensure!(
        is_right(&printed),
        "the program printed something else: {printed}"
    );
    Ok(())
}

fn is_right(printed: &str) -> bool {
    let lines: Vec<_> = printed.lines().collect();
    matches!(
        lines[..],
        [key, "a wrong PIN: wrong authorization for the PIN counter", "tries left: 4"]
            if key.starts_with("ecdsa-sha2-nistp256 ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_program_prints_is_looked_at() {
        let right = "ecdsa-sha2-nistp256 AAAA outside\n\
            a wrong PIN: wrong authorization for the PIN counter\ntries left: 4\n";
        assert!(is_right(right));
        assert!(!is_right(&right.replace("left: 4", "left: 5")));
        assert!(!is_right(""));
    }
}
