//! `tpmssh git setup --unset`: git's settings as they were before.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;
use token_store::config_dir;

use super::config::Git;
use super::record::{Record, remove_lines};
use crate::files::units::remove_file;
use crate::show::output::{self, Output};
use crate::show::path::quote;

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
pub(super) fn run(out: Output, git: &Git, dry_run: bool) -> anyhow::Result<()> {
    let tell = |text: &str| {
        if !out.is_json() {
            output::tell(text);
        }
    };
    let files = config_dir()?.join("tpmssh");
    let older = was_set_up_before(git, &files)?;
    let mut report = Report {
        dry_run,
        ..Report::default()
    };
    for name in NAMES {
        let Some(current) = git.own(name)? else {
            continue;
        };
        let ours = match git.own(&written(name))? {
            Some(value) if value != current => {
                tell(&format!("tpmssh: left: {name} was changed since"));
                report.left.push(name);
                false
            }
            Some(_) => true,
            None => older && is_usual(name, &current, &files),
        };
        if !ours {
            continue;
        }
        let value = git.own(&previous(name))?;
        let setting = Setting { name, value };
        if !out.is_json() {
            output::write(&format!("git config {} {setting}\n", git.scope))?;
        }
        if !dry_run {
            match &setting.value {
                Some(value) => git.set(name, value)?,
                None => git.unset(name)?,
            }
        }
        report.settings.push(setting);
    }
    if !dry_run {
        for name in NAMES {
            git.forget(&format!("tpmssh.{name}"))?;
        }
        let known = remove_files(git, &files, &mut report)?;
        if report.settings.is_empty() && !known {
            tell("tpmssh: nothing of tpmssh git setup is here");
        } else if !known {
            tell(&format!(
                "tpmssh: an older version made the files git-sign and allowed_signers in {}; other \
                 repositories may use them",
                files.display()
            ));
        }
    }
    match out.is_json() {
        true => out.print(&report),
        false => Ok(()),
    }
}

/// What was changed, for `--json`; as text it was shown before.
#[derive(Debug, Default, Serialize)]
struct Report {
    /// Whether nothing is changed in fact.
    dry_run: bool,
    settings: Vec<Setting>,
    /// Settings that were changed since, and stay.
    left: Vec<&'static str>,
    removed: Vec<PathBuf>,
}

impl fmt::Display for Report {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        Ok(())
    }
}

/// A setting and the value that it gets back; none if it is not set any more.
#[derive(Debug, Serialize)]
struct Setting {
    name: &'static str,
    value: Option<String>,
}

/// As `git config` takes it.
impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            Some(value) => write!(f, "{} {}", self.name, quote(Path::new(value))),
            None => write!(f, "--unset {}", self.name),
        }
    }
}

/// The setting that keeps the written value.
pub(super) fn written(name: &str) -> String {
    format!("tpmssh.{name}.written")
}

/// The setting that keeps the former value.
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

/// Whether an older version of tpmssh writes this value. It is unknown whether it also set
/// `commit.gpgsign`, but that setting without a key to sign with would make every commit fail.
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
fn remove_files(git: &Git, files: &Path, report: &mut Report) -> anyhow::Result<bool> {
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
            report.removed.push(program);
        }
        let signers = files.join("allowed_signers");
        if remove_lines(&signers, record.signers())? {
            report.removed.push(signers);
        }
    }
    if known {
        record.write()?;
    }
    Ok(known)
}
