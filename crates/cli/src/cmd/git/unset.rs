//! `tpmssh git setup --unset`: git's settings as they were before.

use std::fs;
use std::path::Path;

use token_store::config_dir;

use super::config::Git;
use super::record::{Record, remove_lines};
use crate::fail::hint::quote;
use crate::files::units::remove_file;
use crate::show::output::{self, tell};

/// All settings that this command may have made.
const NAMES: [&str; 6] = [
    "gpg.format",
    "user.signingkey",
    "gpg.ssh.program",
    "gpg.ssh.allowedSignersFile",
    "commit.gpgsign",
    "tag.gpgsign",
];

/// The second line of the program that git calls, in this version and all before it.
pub(super) const MARK: &str = "# What git calls as gpg.ssh.program; written by tpmssh git setup.\n";

/// Gives each setting the value that it had before, and says so. A setting that was changed since
/// stays. The files go with the last repository that uses them.
///
/// # Errors
///
/// If git or a file refuses.
pub(super) fn run(git: &Git, dry_run: bool) -> anyhow::Result<()> {
    let files = config_dir()?.join("tpmssh");
    let older = was_set_up_before(git, &files)?;
    let mut found = false;
    for name in NAMES {
        let Some(current) = git.own(name)? else {
            continue;
        };
        let ours = match git.own(&written(name))? {
            Some(value) if value != current => {
                tell(&format!("tpmssh: left: {name} was changed since"));
                false
            }
            Some(_) => true,
            None => older && is_usual(name, &current, &files),
        };
        if !ours {
            continue;
        }
        found = true;
        let before = git.own(&previous(name))?;
        let line = match &before {
            Some(value) => format!("{name} {}", quote(Path::new(value))),
            None => format!("--unset {name}"),
        };
        output::write(&format!("git config {} {line}\n", git.scope))?;
        if dry_run {
            continue;
        }
        match before {
            Some(value) => git.set(name, &value)?,
            None => git.unset(name)?,
        }
    }
    if dry_run {
        return Ok(());
    }
    for name in NAMES {
        git.forget(&format!("tpmssh.{name}"))?;
    }
    let known = remove_files(git, &files)?;
    if !found && !known {
        tell("tpmssh: nothing of tpmssh git setup is here");
    } else if !known {
        tell(&format!(
            "tpmssh: an older version made the files git-sign and allowed_signers in {}; other \
             repositories may use them",
            files.display()
        ));
    }
    Ok(())
}

/// The setting in which the value is kept that was written.
pub(super) fn written(name: &str) -> String {
    format!("tpmssh.{name}.written")
}

/// The setting in which the value is kept that was there before.
pub(super) fn previous(name: &str) -> String {
    format!("tpmssh.{name}.previous")
}

/// Whether an older version, which kept nothing, has set this up: by the program that git calls or
/// the file of allowed signers.
fn was_set_up_before(git: &Git, files: &Path) -> anyhow::Result<bool> {
    for name in ["gpg.ssh.program", "gpg.ssh.allowedSignersFile"] {
        let value = git.own(name)?;
        if value.is_some_and(|value| Path::new(&value).starts_with(files)) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether an older version writes this. Whether it also set `commit.gpgsign` nobody knows; a
/// setting without a key to sign with would stop every commit.
fn is_usual(name: &str, value: &str, files: &Path) -> bool {
    match name {
        "gpg.format" => value == "ssh",
        "user.signingkey" => value.starts_with("key::"),
        "gpg.ssh.program" => value == "ssh-keygen" || Path::new(value).starts_with(files),
        "gpg.ssh.allowedSignersFile" => Path::new(value).starts_with(files),
        _ => value == "true",
    }
}

/// Removes the files if this was the last repository. Returns whether it was known.
fn remove_files(git: &Git, files: &Path) -> anyhow::Result<bool> {
    let mut record = Record::read()?;
    let known = record.remove_place(&git.place()?);
    if known && record.is_last() {
        let program = files.join("git-sign");
        let text = fs::read_to_string(&program).unwrap_or_default();
        if text
            .split_once('\n')
            .is_some_and(|(_, rest)| rest.starts_with(MARK))
        {
            remove_file(&program)?;
        }
        remove_lines(&files.join("allowed_signers"), record.signers())?;
    }
    if known {
        record.write()?;
    }
    Ok(known)
}
