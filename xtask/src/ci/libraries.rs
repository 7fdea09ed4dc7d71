//! The libraries as somebody else would get them.

use anyhow::{Context, Result, ensure};

use crate::command::{self, cargo};

/// The packages that are for others to use.
const LIBRARIES: [&str; 3] = ["tpm-core", "ssh-format", "token-store"];

/// What each must have in it, and the only things that may be in it besides.
const REQUIRED: [&str; 2] = ["Cargo.toml", "src/lib.rs"];
const ALLOWED: [&str; 8] = [
    "Cargo.lock",
    "Cargo.toml.orig",
    ".cargo_vcs_info.json",
    "README.md",
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "STRICTER.md",
    "CHANGELOG.md",
];
const ALLOWED_DIRECTORIES: [&str; 3] = ["src/", "tests/", "examples/"];

/// Looks at what `cargo package` would put into each library's package.
///
/// # Errors
///
/// If a file is missing, or one is in it that is not for others.
pub(super) fn package() -> Result<()> {
    for library in LIBRARIES {
        let mut list = cargo();
        list.args([
            "package",
            "--list",
            "--allow-dirty",
            "--locked",
            "-p",
            library,
        ]);
        eprintln!("$ {}", command::line(&list));
        let output = list.output().context("cannot start cargo")?;
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{library}: {errors}");
        let files = String::from_utf8_lossy(&output.stdout);
        look(&files).with_context(|| format!("the package of {library}"))?;
    }
    Ok(())
}

/// Looks at one list of files, a line for each.
fn look(files: &str) -> Result<()> {
    for required in REQUIRED {
        ensure!(
            files.lines().any(|file| file == required),
            "has no {required}"
        );
    }
    for file in files.lines() {
        let allowed = REQUIRED.contains(&file)
            || ALLOWED.contains(&file)
            || ALLOWED_DIRECTORIES.iter().any(|dir| file.starts_with(dir));
        ensure!(allowed, "has {file}, which is not known here");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_and_what_is_too_much_is_found() {
        look("Cargo.toml\nsrc/lib.rs\nsrc/a/b.rs\nREADME.md\n").expect("all in order");
        let err = look("Cargo.toml\n").expect_err("no library");
        assert_eq!(err.to_string(), "has no src/lib.rs");
        let err = look("Cargo.toml\nsrc/lib.rs\nsecret.pem\n").expect_err("too much");
        assert_eq!(err.to_string(), "has secret.pem, which is not known here");
    }
}
