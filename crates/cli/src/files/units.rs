//! Files for systemd, sshd and shells that the program writes, shows and may replace later.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::Context;

use crate::fail::error::Error;
use crate::files::changes::Changes;
use crate::files::output_file;
use crate::show::output::tell;

/// Files of one command, each marked as its own by its first line.
#[derive(Debug)]
pub(crate) struct OwnFiles {
    /// Tells our files from others of the same name; a comment with a line feed.
    mark: &'static str,
    files: Vec<(PathBuf, String)>,
}

impl OwnFiles {
    pub(crate) fn new(mark: &'static str) -> Self {
        Self {
            mark,
            files: Vec::new(),
        }
    }

    /// Adds a file with what follows the mark in it.
    pub(crate) fn add(&mut self, path: PathBuf, text: impl Into<String>) {
        self.files.push((path, text.into()));
    }

    /// Refuses to replace what somebody else has written.
    ///
    /// # Errors
    ///
    /// [`Error::NotOurFile`], or that a file cannot be read.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        for (path, _) in &self.files {
            if self.state(path)? == State::Foreign {
                return Err(Error::NotOurFile { path: path.clone() }.into());
            }
        }
        Ok(())
    }

    /// Whether one of them is there and was written by this command.
    ///
    /// # Errors
    ///
    /// If a file cannot be read.
    pub(crate) fn are_ours(&self) -> anyhow::Result<bool> {
        for (path, _) in &self.files {
            if self.state(path)? == State::Ours {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Shows each file, and writes it unless this is a dry run. Missing directories are made with
    /// the mode `dirs`. If one file cannot be written, those before it are as they were.
    ///
    /// # Errors
    ///
    /// If stdout or a file cannot be written.
    pub(crate) fn put(&self, changes: &mut Changes, dirs: u32) -> anyhow::Result<()> {
        let text_of = |text| format!("{}{text}", self.mark);
        // Shown first, so that nothing is written if stdout fails.
        for (path, text) in &self.files {
            changes.write(path, &text_of(text))?;
        }
        let mut before = Vec::new();
        for (path, text) in self.files.iter().filter(|_| !changes.dry_run) {
            before.push((path, fs::read(path).ok()));
            let written = make_parent(path, dirs)
                .and_then(|()| output_file::write(path, 0o644, text_of(text).as_bytes()));
            if let Err(err) = written {
                restore(before);
                return Err(err.into());
            }
        }
        Ok(())
    }

    /// Removes those files that are there, unless this is a dry run. Files that another program wrote
    /// stay, and are named. Directories below `below` that are then empty are removed as well.
    ///
    /// # Errors
    ///
    /// If a file cannot be read or removed.
    pub(crate) fn remove(&self, changes: &mut Changes, below: &Path) -> anyhow::Result<()> {
        for (path, _) in &self.files {
            match self.state(path)? {
                State::None => continue,
                State::Foreign => {
                    changes.leave(path);
                    continue;
                }
                State::Ours => {}
            }
            changes.remove(path)?;
            if !changes.dry_run {
                remove_file(path)?;
                remove_empty_dirs(path, below);
            }
        }
        Ok(())
    }

    /// Whose file is at `path`. A symbolic link is followed to a file of ours, as
    /// [`output_file::write`] does.
    fn state(&self, path: &Path) -> anyhow::Result<State> {
        // A pipe or a device might never end.
        let text = fs::metadata(path).and_then(|meta| match meta.is_file() {
            true => fs::read(path),
            false => Ok(Vec::new()),
        });
        match text {
            Ok(text) if text.starts_with(self.mark.as_bytes()) => Ok(State::Ours),
            Ok(_) => Ok(State::Foreign),
            Err(err) if err.kind() == io::ErrorKind::NotFound => {
                // A dangling link is not ours.
                Ok(match fs::symlink_metadata(path) {
                    Ok(_) => State::Foreign,
                    Err(_) => State::None,
                })
            }
            Err(err) => Err(err).with_context(|| format!("cannot read {}", path.display())),
        }
    }
}

/// Whose a file is.
#[derive(Debug, PartialEq, Eq)]
enum State {
    None,
    Ours,
    Foreign,
}

/// Restores the former contents of files. Prints a failure and goes on.
fn restore(files: Vec<(&PathBuf, Option<Vec<u8>>)>) {
    for (path, contents) in files {
        let restored = match contents {
            Some(contents) => output_file::write(path, 0o644, &contents),
            None => remove_file(path),
        };
        if let Err(err) = restored {
            tell(&format!("tpmssh: {} stays: {err}", path.display()));
        }
    }
}

/// Removes a file; one that is not there is fine.
///
/// # Errors
///
/// [`Error::Unremovable`].
pub(crate) fn remove_file(path: &Path) -> Result<(), Error> {
    match fs::remove_file(path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(Error::Unremovable {
            path: path.to_owned(),
            source,
        }),
        _ => Ok(()),
    }
}

/// Removes the directories of a file that is gone, up to the first with something in it, and
/// none but those below `below`.
pub(crate) fn remove_empty_dirs(path: &Path, below: &Path) {
    let dirs = path.ancestors().skip(1);
    for dir in dirs.take_while(|dir| dir.starts_with(below) && *dir != below) {
        if fs::remove_dir(dir).is_err() {
            return;
        }
    }
}

/// Makes the directory of a file, and those above it, if they are missing.
///
/// # Errors
///
/// [`Error::Unwritable`].
pub(crate) fn make_parent(path: &Path, mode: u32) -> Result<(), Error> {
    let Some(dir) = path.parent() else {
        return Ok(());
    };
    let made = DirBuilder::new().recursive(true).mode(mode).create(dir);
    made.map_err(|source| Error::Unwritable {
        path: dir.to_owned(),
        source,
    })
}

/// Refuses to go on if systemd is not installed; `hint` is what to do then.
///
/// # Errors
///
/// [`Error::NoSystemd`].
pub(crate) fn need_systemd(hint: &'static str) -> Result<(), Error> {
    match Command::new("systemctl")
        .arg("--version")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
    {
        Err(err) if err.kind() == io::ErrorKind::NotFound => Err(Error::NoSystemd { hint }),
        _ => Ok(()),
    }
}

/// Tells systemd.
///
/// # Errors
///
/// [`Error::SystemdNotTold`] names the command that failed and those after it.
pub(crate) fn systemctl(changes: &mut Changes, commands: &[&[&str]]) -> Result<(), Error> {
    let line = |command: &[&str]| format!("systemctl {}", command.join(" "));
    for (done, command) in commands.iter().enumerate() {
        let succeeded = Command::new("systemctl")
            .args(*command)
            .stdin(Stdio::null())
            // stdout is for data.
            .stdout(io::stderr())
            .status()
            .is_ok_and(|status| status.success());
        if !succeeded {
            let left: Vec<_> = commands[done..].iter().map(|it| line(it)).collect();
            return Err(Error::SystemdNotTold {
                commands: left.join(" && "),
            });
        }
        changes.command(line(command));
    }
    Ok(())
}

/// A word of a command line or a setting in a unit.
///
/// # Source
///
/// systemd.service(5), "Command lines": quotes, and signs that it would take for its own.
pub(crate) fn quote(word: &str) -> String {
    let mut quoted = String::from("\"");
    for c in word.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            '%' | '$' => quoted.extend([c, c]),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// A part of a setting between quotation marks that is no command line: `$` means nothing there.
///
/// # Source
///
/// systemd.syntax(7), "Quoting"; systemd.unit(5), "Specifiers".
pub(crate) fn escape(text: &str) -> String {
    text.replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('%', "%%")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_means_itself_in_a_unit() {
        assert_eq!(quote("/usr/bin/tpmssh"), "\"/usr/bin/tpmssh\"");
        assert_eq!(quote(r#"/a "b"\100%$HOME"#), r#""/a \"b\"\\100%%$$HOME""#);
        assert_eq!(escape(r#"/a "b"\100%$HOME"#), r#"/a \"b\"\\100%%$HOME"#);
    }
}
