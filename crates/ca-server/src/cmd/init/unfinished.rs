//! The mark of an `init` that makes keys: a file with the path of their store. If `init` is killed, the next one finds it, and may delete those keys.

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use rustix::fs::{FlockOperation, flock};

/// The longest path of a store that is read, in bytes.
const MAX: u64 = 4096;

/// The mark. While it is held, no other `init` has it.
pub(super) struct Unfinished {
    path: PathBuf,
    file: File,
}

impl Unfinished {
    /// Takes the mark at `path`, and the store that the `init` before had noted there, if one was killed.
    ///
    /// # Errors
    ///
    /// If another `init` has it, or it cannot be written.
    pub(super) fn take(path: PathBuf) -> anyhow::Result<(Self, Option<PathBuf>)> {
        let shown = path.display();
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .with_context(|| format!("cannot write {shown}"))?;
        let is_ours = flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok();
        // An `init` that ended in the meantime has removed the file.
        if !is_ours || file.metadata()?.nlink() == 0 {
            bail!("another tpmssh-ca init runs here: {shown}");
        }
        let mut noted = Vec::new();
        (&mut file)
            .take(MAX)
            .read_to_end(&mut noted)
            .with_context(|| format!("cannot read {shown}"))?;
        let store = (!noted.is_empty()).then(|| std::ffi::OsString::from_vec(noted).into());
        Ok((Self { path, file }, store))
    }

    /// Notes the store that keys are made in from now on.
    ///
    /// # Errors
    ///
    /// If it does not come to the disk.
    pub(super) fn note(&mut self, store: &Path) -> anyhow::Result<()> {
        let write = || {
            (&self.file).write_all(store.as_os_str().as_bytes())?;
            self.file.sync_all()?;
            match self.path.parent() {
                Some(dir) => File::open(dir)?.sync_all(),
                None => Ok(()),
            }
        };
        write().with_context(|| format!("cannot write {}", self.path.display()))
    }

    /// Removes what was noted; the mark stays held.
    ///
    /// # Errors
    ///
    /// If the disk fails.
    pub(super) fn forget(&self) -> anyhow::Result<()> {
        use std::io::{Seek, SeekFrom};
        self.file.set_len(0)?;
        (&self.file).seek(SeekFrom::Start(0))?;
        Ok(self.file.sync_all()?)
    }

    /// Removes the mark.
    pub(super) fn remove(&self) {
        let _ = fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mark_is_held_once_and_tells_the_next_one_what_was_begun() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("mark");
        let (mut first, noted) = Unfinished::take(path.clone()).unwrap();
        assert_eq!(noted, None);
        let Err(err) = Unfinished::take(path.clone()) else {
            panic!("two have it");
        };
        let says = format!("another tpmssh-ca init runs here: {}", path.display());
        assert_eq!(err.to_string(), says);
        first.note(Path::new("/srv/keys")).unwrap();
        // As if it was killed.
        drop(first);
        let (second, noted) = Unfinished::take(path.clone()).unwrap();
        assert_eq!(noted.as_deref(), Some(Path::new("/srv/keys")));
        second.forget().unwrap();
        drop(second);
        let (mut third, noted) = Unfinished::take(path.clone()).unwrap();
        assert_eq!(noted, None);
        third.note(Path::new("/srv")).unwrap();
        third.remove();
        assert!(!path.exists());
    }
}
