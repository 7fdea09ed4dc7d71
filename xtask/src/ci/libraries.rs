//! The libraries as packages for others.

use anyhow::{Context, Result, ensure};

use crate::command::{self, cargo, target};

/// The packages that are for others to use.
pub(super) const LIBRARIES: [&str; 7] = [
    "tpm-core",
    "ssh-format",
    "key-proof",
    "token-store",
    "dbus-wire",
    "tpm-wire",
    "locked-memory",
];

/// For cargo where nothing that it compiles runs: the bundled SQLite compiles in a fraction of the time.
pub(super) const UNOPTIMIZED: [&str; 2] = ["--config", "profile.dev.package.'*'.opt-level=0"];

/// The files that each must contain, and the only other files that it may contain.
const REQUIRED: [&str; 5] = [
    "Cargo.toml",
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "README.md",
    "src/lib.rs",
];
const ALLOWED: [&str; 5] = [
    "Cargo.lock",
    "Cargo.toml.orig",
    ".cargo_vcs_info.json",
    "STRICTER.md",
    "CHANGELOG.md",
];
const ALLOWED_DIRECTORIES: [&str; 3] = ["src/", "tests/", "examples/"];

/// Checks the list of files that `cargo package` would put into each library's package.
///
/// # Errors
///
/// If a file is missing, or one is in it that does not belong there.
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

/// Makes the documentation of the libraries as a documentation host does: without libtss2.
///
/// With `DOCS_RS` set, the build script of tss-esapi-sys does not look for it. With an empty search
/// path, pkg-config does not find it.
///
/// # Errors
///
/// If one of them needs libtss2, or its documentation has a warning.
pub(super) fn document() -> Result<()> {
    let dir = target()?.join("docs-host");
    let mut doc = cargo();
    doc.args(["doc", "--no-deps", "--locked", "--all-features"])
        .args(UNOPTIMIZED);
    for library in LIBRARIES {
        doc.args(["-p", library]);
    }
    command::run(
        doc.env("CARGO_TARGET_DIR", &dir)
            .env("RUSTDOCFLAGS", "-D warnings")
            .env("DOCS_RS", "1")
            .env("PKG_CONFIG_LIBDIR", dir.join("no-libraries"))
            .env("PKG_CONFIG_PATH", ""),
    )
}

/// Checks one list of files, one a line.
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
        let all = "Cargo.toml\nLICENSE-APACHE\nLICENSE-MIT\nREADME.md\nsrc/lib.rs\n";
        look(&format!("{all}src/a/b.rs\nSTRICTER.md\n")).expect("all in order");
        let err = look(&all.replace("LICENSE-MIT\n", "")).expect_err("no licence");
        assert_eq!(err.to_string(), "has no LICENSE-MIT");
        let err = look(&format!("{all}secret.pem\n")).expect_err("too much");
        assert_eq!(err.to_string(), "has secret.pem, which is not known here");
    }
}
