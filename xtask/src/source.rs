//! The commit and date of the source.

use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::command::root;

/// The variable that tells the build the commit of the program.
pub(crate) const COMMIT: &str = "TPMSSH_COMMIT";

/// The commit and its day, such as `cd3f0b9a1b2c 2026-11-28`, and `changed` after it if files
/// differ from it. Empty if it is unknown, as in a tarball.
pub(crate) fn commit() -> String {
    let Ok(commit) = git(&["log", "-1", "--abbrev=12", "--format=%h %cs"]) else {
        return String::new();
    };
    let changed = git(&["status", "--porcelain", "--untracked-files=no"]);
    match changed.is_ok_and(|files| files.is_empty()) {
        true => commit,
        false => format!("{commit} changed"),
    }
}

/// The date of the source, in seconds since 1970: `$SOURCE_DATE_EPOCH`, otherwise the date of the
/// commit.
///
/// # Errors
///
/// If neither is known.
///
/// # Source
///
/// <https://reproducible-builds.org/specs/source-date-epoch/>
pub(crate) fn date() -> Result<u64> {
    let text = match std::env::var("SOURCE_DATE_EPOCH") {
        Ok(text) => text,
        Err(_) => git(&["log", "-1", "--format=%ct"])
            .context("set SOURCE_DATE_EPOCH where there is no git repository")?,
    };
    text.trim()
        .parse()
        .with_context(|| format!("{text} are no seconds since 1970"))
}

/// The version of a package: that of the workspace if its tag is on this commit, else one before
/// it with date and commit.
pub(crate) fn version() -> String {
    let version = env!("CARGO_PKG_VERSION");
    let tagged = git(&["tag", "--points-at", "HEAD"]).unwrap_or_default();
    if tagged.lines().any(|tag| tag == format!("v{version}")) {
        return version.to_owned();
    }
    match git(&[
        "log",
        "-1",
        "--abbrev=12",
        "--date=format:%Y%m%d",
        "--format=%cd.%h",
    ]) {
        Ok(commit) => format!("{version}~git{commit}"),
        Err(_) => version.to_owned(),
    }
}

/// The output of git in this repository.
fn git(arguments: &[&str]) -> Result<String> {
    let output = Command::new("git")
        .current_dir(root())
        .args(arguments)
        .output()
        .context("cannot start git")?;
    ensure!(
        output.status.success(),
        "git {} failed",
        arguments.join(" ")
    );
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}
