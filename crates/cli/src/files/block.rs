//! Lines of ours in a text file that belongs to the user.

use std::path::Path;

use crate::fail::error::{Error, Result};
use crate::files::output_file;
use crate::show::path;

/// The most that such a file may hold, in bytes.
const MAX: usize = 1 << 20;

/// Lines between two comments that mark them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Block {
    /// The comment before; it is on a line of its own.
    pub(crate) begin: &'static str,
    /// The comment after.
    pub(crate) end: &'static str,
}

impl Block {
    /// Puts `lines` at the end of the file, or in the place of those that are there. Returns
    /// whether that changed the file.
    ///
    /// # Errors
    ///
    /// If the file cannot be read or written, or is not text.
    pub(crate) fn put(self, path: &Path, lines: &str) -> Result<bool> {
        let old = read(path)?;
        let block = format!("{}\n{lines}{}\n", self.begin, self.end);
        let new = match self.find(&old) {
            Some((start, end)) => format!("{}{block}{}", &old[..start], &old[end..]),
            None => format!("{}{block}", with_line_feed(&old)),
        };
        self.replace(path, &old, &new)
    }

    /// Takes the lines away. Returns whether there were any.
    ///
    /// # Errors
    ///
    /// As for [`Block::put`].
    pub(crate) fn remove(self, path: &Path) -> Result<bool> {
        let old = read(path)?;
        match self.find(&old) {
            Some((start, end)) => {
                let new = format!("{}{}", &old[..start], &old[end..]);
                self.replace(path, &old, &new)
            }
            None => Ok(false),
        }
    }

    /// Whether the lines are in the file.
    ///
    /// # Errors
    ///
    /// If the file cannot be read, or is not text.
    pub(crate) fn is_in(self, path: &Path) -> Result<bool> {
        Ok(self.find(&read(path)?).is_some())
    }

    /// Where the block is, in bytes, with both comments. A beginning without an end does not count.
    fn find(self, text: &str) -> Option<(usize, usize)> {
        let mut offset = 0;
        let mut start = None;
        for line in text.split_inclusive('\n') {
            let end = offset + line.len();
            let bare = line.trim_end();
            if bare == self.begin {
                start = Some(offset);
            } else if bare == self.end
                && let Some(start) = start
            {
                return Some((start, end));
            }
            offset = end;
        }
        None
    }

    fn replace(self, path: &Path, old: &str, new: &str) -> Result<bool> {
        if old == new {
            return Ok(false);
        }
        output_file::write(path, 0o644, new.as_bytes())?;
        Ok(true)
    }
}

/// The text of a file; empty if there is none.
fn read(path: &Path) -> Result<String> {
    let bytes = output_file::existing(path, MAX)?.unwrap_or_default();
    String::from_utf8(bytes).map_err(|_| Error::Unreadable {
        from: path::name(path),
        source: std::io::Error::new(std::io::ErrorKind::InvalidData, "it is not text"),
    })
}

fn with_line_feed(text: &str) -> String {
    match text.is_empty() || text.ends_with('\n') {
        true => text.to_owned(),
        false => format!("{text}\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLOCK: Block = Block {
        begin: "# ours: begin",
        end: "# ours: end",
    };

    #[test]
    fn a_file_is_as_before_when_the_lines_are_gone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("profile");
        for before in ["umask 022\n", "umask 022\n\n# ours: begin\nnot closed\n"] {
            std::fs::write(&path, before).unwrap();
            assert!(!BLOCK.remove(&path).unwrap());
            assert!(BLOCK.put(&path, "one\n").unwrap());
            assert!(!BLOCK.put(&path, "one\n").unwrap(), "it was there");
            let after = format!("{}later\n", std::fs::read_to_string(&path).unwrap());
            std::fs::write(&path, after).unwrap();
            assert!(BLOCK.put(&path, "two\n").unwrap());
            let text = std::fs::read_to_string(&path).unwrap();
            assert_eq!(
                text,
                format!("{before}# ours: begin\ntwo\n# ours: end\nlater\n")
            );
            assert!(BLOCK.is_in(&path).unwrap());
            assert!(BLOCK.remove(&path).unwrap());
            let text = std::fs::read_to_string(&path).unwrap();
            assert_eq!(text, format!("{before}later\n"));
        }
    }
}
