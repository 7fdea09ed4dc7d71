//! Which repositories were set up, so that the files that they share can be removed with the last.

use std::fs;
use std::path::{Path, PathBuf};

use token_store::config_dir;

use crate::files::units::{make_parent, remove_file};
use crate::files::{input_file, output_file};

/// The most that these files may hold, in bytes.
const MAX: usize = 1 << 20;

/// The list: a line `at PLACE` for each repository (`global` for the user's own settings), and a
/// line `signer LINE` for each that was added to the allowed signers.
#[derive(Debug, Default)]
pub(super) struct Record(Vec<String>);

impl Record {
    fn path() -> anyhow::Result<PathBuf> {
        Ok(config_dir()?.join("tpmssh/git-setups"))
    }

    /// The list of this user; empty if the file does not exist.
    ///
    /// # Errors
    ///
    /// If it cannot be read.
    pub(super) fn read() -> anyhow::Result<Self> {
        let path = Self::path()?;
        let text = match path.exists() {
            true => input_file::read_text(&path, MAX)?,
            false => String::new(),
        };
        Ok(Self(text.lines().map(str::to_owned).collect()))
    }

    pub(super) fn add_place(&mut self, place: &str) {
        self.add(format!("at {place}"));
    }

    pub(super) fn add_signer(&mut self, line: &str) {
        self.add(format!("signer {line}"));
    }

    fn add(&mut self, line: String) {
        if !self.0.contains(&line) {
            self.0.push(line);
        }
    }

    /// Removes a place, and those that do not exist any more. Returns whether the place was in the list.
    pub(super) fn remove_place(&mut self, place: &str) -> bool {
        let before = self.0.len();
        let gone = format!("at {place}");
        let was_in = self.0.contains(&gone);
        self.0.retain(|line| match line.strip_prefix("at ") {
            Some(at) => *line != gone && (at == "global" || Path::new(at).exists()),
            None => true,
        });
        debug_assert!(self.0.len() <= before);
        was_in
    }

    /// Whether no repository is left.
    pub(super) fn is_last(&self) -> bool {
        !self.0.iter().any(|line| line.starts_with("at "))
    }

    /// The lines that were added to the allowed signers.
    pub(super) fn signers(&self) -> impl Iterator<Item = &str> {
        self.0
            .iter()
            .filter_map(|line| line.strip_prefix("signer "))
    }

    /// Writes the list, or removes it if no repository is left.
    ///
    /// # Errors
    ///
    /// That of the system.
    pub(super) fn write(&self) -> anyhow::Result<()> {
        let path = Self::path()?;
        if self.is_last() {
            return Ok(remove_file(&path)?);
        }
        make_parent(&path, 0o700)?;
        let text: String = self.0.iter().map(|line| format!("{line}\n")).collect();
        Ok(output_file::write(&path, 0o644, text.as_bytes())?)
    }
}

/// Removes lines from a file, and the file if nothing is left in it. Returns whether the file was
/// removed.
///
/// # Errors
///
/// If it cannot be read or written.
pub(super) fn remove_lines<'a>(
    path: &Path,
    lines: impl Iterator<Item = &'a str>,
) -> anyhow::Result<bool> {
    let gone: Vec<_> = lines.collect();
    if !fs::exists(path).unwrap_or(false) {
        return Ok(false);
    }
    let text = input_file::read_text(path, MAX)?;
    let left: String = text
        .split_inclusive('\n')
        .filter(|line| !gone.contains(&line.trim_end()))
        .collect();
    let is_empty = left.trim().is_empty();
    match is_empty {
        true => remove_file(path)?,
        false => output_file::write(path, 0o644, left.as_bytes())?,
    }
    Ok(is_empty)
}
