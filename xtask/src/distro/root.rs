//! A release of Debian in a directory.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};

use crate::{command, packages, unavailable::Unavailable};

use super::printed;

/// The mirror of Debian if this machine's apt has none.
const MIRROR: &str = "http://deb.debian.org/debian";

/// Makes the release, which takes about two minutes and 4 GiB, or uses the existing one.
///
/// # Errors
///
/// [`Unavailable`] if the mirror cannot be reached; a failure of mmdebstrap.
pub(super) fn make(suite: &str) -> Result<PathBuf> {
    let dir = command::target()?.join("distro");
    let (root, made) = (dir.join(suite), dir.join(format!("{suite}.packages")));
    let wanted: Vec<&str> = packages::names(suite).collect();
    let wanted = wanted.join(",");
    if fs::read_to_string(&made).is_ok_and(|made| made == wanted) {
        return Ok(root);
    }
    check_mirror(suite)?;
    fs::create_dir_all(&dir)?;
    // Its files belong to root.
    command::run(
        packages::as_root("rm")
            .args(["-rf", "--one-file-system"])
            .arg(&root),
    )?;
    command::run(&mut mmdebstrap(suite, &wanted, &root))
        .with_context(|| format!("there is no {suite} to run anything in"))?;
    fs::write(made, wanted)?;
    Ok(root)
}

/// Asks the mirror whether it has a release.
///
/// # Errors
///
/// [`Unavailable`] if it does not answer, or does not have the release.
pub(crate) fn check_mirror(suite: &str) -> Result<()> {
    let mirror = mirror();
    let list = format!("{}/dists/{suite}/InRelease", mirror.trim_end_matches('/'));
    let place = tempfile::tempdir()?;
    let mut fetch = Command::new("/usr/lib/apt/apt-helper");
    fetch
        .args(["-o", "Acquire::Retries=2", "download-file", &list])
        .arg(place.path().join("InRelease"));
    printed(&mut fetch).map(drop).map_err(|err| {
        Unavailable(format!(
            "the mirror of Debian does not give {suite}: {err:#}"
        ))
        .into()
    })
}

fn mmdebstrap(suite: &str, wanted: &str, root: &Path) -> Command {
    let mut command = packages::as_root("mmdebstrap");
    command.args(["--mode=root", "--variant=minbase", "--quiet"]);
    command.arg(format!("--include={wanted}"));
    for unread in ["doc", "man", "locale", "info"] {
        command.arg(format!("--dpkgopt=path-exclude=/usr/share/{unread}/*"));
    }
    // Java's packages put links there.
    command.arg(r#"--essential-hook=mkdir -p "$1/usr/share/man/man1""#);
    command.arg(suite).arg(root).arg(mirror());
    command
}

/// The mirror that the apt of this machine takes Debian from.
fn mirror() -> String {
    let targets =
        printed(Command::new("apt-get").args(["indextargets", "--format", "$(LABEL) $(REPO_URI)"]));
    let targets = targets.unwrap_or_default();
    let debian = targets
        .lines()
        .find_map(|line| line.strip_prefix("Debian "));
    debian.unwrap_or(MIRROR).to_owned()
}
