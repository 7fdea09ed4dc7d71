//! Reading the audit log, and what is added to it later.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::{Record, older};

/// A reader of the log that continues where it stopped, also after a new file has replaced the old one.
#[derive(Debug)]
pub struct Follower {
    path: PathBuf,
    file: Option<BufReader<File>>,
    /// The beginning of a line whose end is not written yet.
    begun: Vec<u8>,
}

impl Follower {
    /// A reader of the log at `path`, which need not exist yet. Nothing is opened.
    #[must_use]
    pub fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            file: None,
            begun: Vec::new(),
        }
    }

    /// The records of the file that was put aside, and then those of the log. Lines that are no
    /// records are left out.
    ///
    /// # Errors
    ///
    /// Those of reading the files. A missing file has no lines.
    pub fn all(&mut self) -> io::Result<Vec<Record>> {
        let mut records = Vec::new();
        if let Some(file) = open(&older(&self.path))? {
            self.file = Some(file);
            self.rest(&mut records)?;
            self.file = None;
        }
        records.append(&mut self.more()?);
        Ok(records)
    }

    /// The records that were added since the last call; it does not wait for any.
    ///
    /// # Errors
    ///
    /// As for [`Follower::all`].
    pub fn more(&mut self) -> io::Result<Vec<Record>> {
        let mut records = Vec::new();
        // Before the file is read to its end: later lines are in the new file.
        let is_old = !self.is_in_place()?;
        self.rest(&mut records)?;
        if is_old {
            self.begun.clear();
            self.file = open(&self.path)?;
            self.rest(&mut records)?;
        }
        Ok(records)
    }

    /// Whether the open file is the one at the path.
    fn is_in_place(&self) -> io::Result<bool> {
        let Some(file) = &self.file else {
            return Ok(false);
        };
        let ours = file.get_ref().metadata()?;
        let there = fs::metadata(&self.path);
        Ok(there.is_ok_and(|there| (there.dev(), there.ino()) == (ours.dev(), ours.ino())))
    }

    /// Reads the open file to its end.
    fn rest(&mut self, records: &mut Vec<Record>) -> io::Result<()> {
        let Some(file) = &mut self.file else {
            return Ok(());
        };
        while file.read_until(b'\n', &mut self.begun)? > 0 {
            if self.begun.ends_with(b"\n") {
                records.extend(serde_json::from_slice::<Record>(&self.begun).ok());
                self.begun.clear();
            }
        }
        Ok(())
    }
}

fn open(path: &Path) -> io::Result<Option<BufReader<File>>> {
    match File::open(path) {
        Ok(file) => Ok(Some(BufReader::new(file))),
        Err(err) if err.kind() == ErrorKind::NotFound => Ok(None),
        Err(err) => Err(err),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn events(records: Vec<Record>) -> String {
        let events = records.into_iter().map(|record| record.event);
        events.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn what_is_added_is_read_once_also_after_the_file_was_put_aside() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("agent.log");
        let add = |text: &str| {
            let mut file = fs::OpenOptions::new()
                .append(true)
                .create(true)
                .open(&path)
                .unwrap();
            file.write_all(text.as_bytes()).unwrap();
        };
        let line = |event| format!("{{\"time\":1,\"event\":\"{event}\",\"result\":\"done\"}}\n");
        let mut follower = Follower::new(&path);
        assert_eq!(events(follower.all().unwrap()), "");
        add(&line("a"));
        assert_eq!(events(follower.more().unwrap()), "a");
        let (first, second) = (line("b"), line("c"));
        let (begin, end) = first.split_at(20);
        add(begin);
        assert_eq!(events(follower.more().unwrap()), "");
        add(&format!("{end}no record\n{second}"));
        assert_eq!(events(follower.more().unwrap()), "b c");
        add(&line("d"));
        fs::rename(&path, older(&path)).unwrap();
        add(&line("e"));
        assert_eq!(events(follower.more().unwrap()), "d e");
        assert_eq!(events(follower.more().unwrap()), "");
        assert_eq!(events(Follower::new(&path).all().unwrap()), "a b c d e");
    }
}
