//! Files for systemd and its neighbours, that the program writes, shows and may write again.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::Context;

use crate::fail::error::Error;
use crate::files::output_file;
use crate::show::output::{self, tell};

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
            // A pipe or a device might never end.
            let text = fs::metadata(path).and_then(|meta| match meta.is_file() {
                true => fs::read(path),
                false => Ok(Vec::new()),
            });
            match text {
                Ok(text) if text.starts_with(self.mark.as_bytes()) => {}
                Ok(_) => return Err(Error::NotOurFile { path: path.clone() }.into()),
                Err(err) if err.kind() == io::ErrorKind::NotFound => {}
                Err(err) => {
                    return Err(err).with_context(|| format!("cannot read {}", path.display()));
                }
            }
        }
        Ok(())
    }

    /// Shows each file, and writes it unless that was not asked for; directories that are
    /// missing are made with the mode `dirs`.
    ///
    /// # Errors
    ///
    /// If stdout or a file cannot be written.
    pub(crate) fn put(&self, dry_run: bool, dirs: u32) -> anyhow::Result<()> {
        let text_of = |text| format!("{}{text}", self.mark);
        // First, so that nothing is written if nobody can read what.
        for (path, text) in &self.files {
            output::write(&format!("# {}\n{}\n", path.display(), text_of(text)))?;
        }
        for (path, text) in self.files.iter().filter(|_| !dry_run) {
            make_parent(path, dirs)?;
            output_file::write(path, 0o644, text_of(text).as_bytes())?;
        }
        Ok(())
    }
}

/// Makes the directory of a file, and those above it, where they are missing.
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

/// Tells systemd; says how far it came. Where it does not run, the files wait for it.
///
/// Returns whether all was done.
pub(crate) fn systemctl(commands: &[&[&str]]) -> bool {
    for command in commands {
        let line = format!("systemctl {}", command.join(" "));
        let done = Command::new("systemctl")
            .args(*command)
            .stdin(Stdio::null())
            .status()
            .is_ok_and(|status| status.success());
        if !done {
            tell(&format!("tpmssh: not done, please run it yourself: {line}"));
            return false;
        }
        tell(&format!("tpmssh: {line}"));
    }
    true
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_means_itself_in_a_unit() {
        assert_eq!(quote("/usr/bin/tpmssh"), "\"/usr/bin/tpmssh\"");
        assert_eq!(quote(r#"/a "b"\100%$HOME"#), r#""/a \"b\"\\100%%$$HOME""#);
    }
}
