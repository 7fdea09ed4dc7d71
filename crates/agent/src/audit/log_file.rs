//! The file of the audit log: how lines get into it.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::fs::{FlockOperation, OFlags, flock};
use rustix::io::Errno;

use super::{Record, older};

/// The size in bytes at which the file is put aside and a new one is begun. With the one that was
/// put aside that makes 16 MiB, some 40,000 uses of keys.
const MAX_LEN: u64 = 8 * 1024 * 1024;

/// The log, open for adding lines.
///
/// A line is in the file as a whole or not at all: the part that fitted on a full disk is removed again.
/// The file is looked up before each addition, so one that was moved away or deleted is begun
/// anew. Several agents may write to one file.
#[derive(Debug)]
pub(crate) struct Log {
    path: PathBuf,
    file: File,
    max_len: u64,
}

impl Log {
    /// Opens the file, and makes it and its directory for this user alone.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        if let Some(dir) = path.parent() {
            DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        }
        Ok(Self {
            path: path.into(),
            file: open(path)?,
            max_len: MAX_LEN,
        })
    }

    /// Adds records, with the time of now. A failure is logged: work goes on.
    pub(crate) fn add(&mut self, records: &mut [Record]) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = now.unwrap_or_default().as_secs();
        let mut lines = Vec::new();
        for record in records {
            record.time = now;
            let end = lines.len();
            match serde_json::to_writer(&mut lines, record) {
                Ok(()) => lines.push(b'\n'),
                Err(err) => {
                    lines.truncate(end);
                    log::warn!("cannot write the audit log: {err}");
                }
            }
        }
        if let Err(err) = self.append(lines) {
            log::warn!("cannot write the audit log {}: {err}", self.path.display());
        }
    }

    fn append(&mut self, mut lines: Vec<u8>) -> io::Result<()> {
        let (_lock, len) = self.place_for(lines.len() as u64)?;
        // After a power failure the file may end with half a line. The new records begin on a new one.
        let mut last = [b'\n'];
        if len > 0 {
            self.file.read_exact_at(&mut last, len - 1)?;
        }
        if last != [b'\n'] {
            lines.insert(0, b'\n');
        }
        let (written, result) = write(&self.file, &lines);
        if result.is_err() {
            let whole = lines[..written].iter().rposition(|&byte| byte == b'\n');
            let whole = whole.map_or(0, |end| end + 1);
            self.file.set_len(len + whole as u64)?;
        }
        result
    }

    /// Locks the file at the path, or a new one if `more` bytes do not fit. Returns its length.
    fn place_for(&mut self, more: u64) -> io::Result<(Option<Lock>, u64)> {
        /// Other programs may rename or remove the file at the same time.
        const TRIES: usize = 8;
        for _ in 0..TRIES {
            if !self.is_in_place()? {
                self.file = open(&self.path)?;
            }
            let lock = Lock::take(&self.file);
            let len = self.file.metadata()?.len();
            if !self.is_in_place()? {
                continue;
            }
            if len == 0 || len + more <= self.max_len {
                return Ok((lock, len));
            }
            self.put_aside()?;
        }
        Err(ErrorKind::ResourceBusy.into())
    }

    /// Whether the file that is open is the one at the path.
    fn is_in_place(&self) -> io::Result<bool> {
        let ours = self.file.metadata()?;
        let there = fs::symlink_metadata(&self.path);
        Ok(there.is_ok_and(|there| (there.dev(), there.ino()) == (ours.dev(), ours.ino())))
    }

    /// Begins a new file. The file that was put aside before is replaced.
    fn put_aside(&mut self) -> io::Result<()> {
        fs::rename(&self.path, older(&self.path))?;
        self.file = open(&self.path)?;
        Ok(())
    }
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .read(true)
        .append(true)
        .create(true)
        .mode(0o600)
        .custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
        .open(path)
}

/// Writes `bytes`; returns how many of them were written, and the error if not all were.
fn write(mut file: &File, bytes: &[u8]) -> (usize, io::Result<()>) {
    let mut written = 0;
    while written < bytes.len() {
        match file.write(&bytes[written..]) {
            Ok(0) => return (written, Err(ErrorKind::WriteZero.into())),
            Ok(len) => written += len,
            Err(err) if err.kind() == ErrorKind::Interrupted => {}
            Err(err) => return (written, Err(err)),
        }
    }
    (written, Ok(()))
}

/// Keeps other agents from writing to the file and from putting it aside.
struct Lock(File);

impl Lock {
    /// Waits for it for 50 ms at most: a program that holds it and hangs must not stop the agent.
    fn take(file: &File) -> Option<Self> {
        const PAUSE: Duration = Duration::from_millis(1);
        const TRIES: usize = 50;
        let file = file.try_clone().ok()?;
        for _ in 0..TRIES {
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Some(Self(file)),
                Err(Errno::WOULDBLOCK) => thread::sleep(PAUSE),
                Err(_) => return None,
            }
        }
        None
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // It also ends when the file is closed.
        let _ = flock(&self.0, FlockOperation::Unlock);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;
    use crate::audit::read;

    fn place() -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("state/agent.log");
        (dir, path)
    }

    fn add(log: &mut Log, labels: &[&str]) {
        let record = |label: &&str| Record {
            label: Some((*label).to_owned()),
            ..Record::of("sign", "a\nb")
        };
        log.add(&mut labels.iter().map(record).collect::<Vec<_>>());
    }

    fn labels(path: &Path) -> Vec<String> {
        let records = read(path).unwrap();
        records
            .into_iter()
            .filter_map(|record| record.label)
            .collect()
    }

    #[test]
    fn what_is_added_reads_back_and_stays() {
        let (_dir, path) = place();
        assert!(labels(&path).is_empty());
        for label in ["one", "two"] {
            add(&mut Log::open(&path).unwrap(), &[label, "and"]);
        }
        assert_eq!(labels(&path), ["one", "and", "two", "and"]);
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_symbolic_link_is_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let (path, other) = (dir.path().join("log"), dir.path().join("other"));
        symlink(&other, &path).unwrap();
        assert!(Log::open(&path).is_err());
        fs::remove_file(&path).unwrap();
        let mut log = Log::open(&path).unwrap();
        fs::remove_file(&path).unwrap();
        symlink(&other, &path).unwrap();
        add(&mut log, &["lost"]);
        assert!(!other.exists());
    }

    #[test]
    fn a_file_that_was_moved_away_or_deleted_is_begun_anew() {
        let (dir, path) = place();
        let mut log = Log::open(&path).unwrap();
        add(&mut log, &["one"]);
        let aside = dir.path().join("aside");
        fs::rename(&path, &aside).unwrap();
        add(&mut log, &["two"]);
        assert_eq!(
            (labels(&aside), labels(&path)),
            (vec!["one".into()], vec!["two".into()])
        );
        fs::remove_file(&path).unwrap();
        add(&mut log, &["three"]);
        assert_eq!(labels(&path), ["three"]);
        // As `logrotate` with `copytruncate` does.
        File::create(&path).unwrap();
        add(&mut log, &["four"]);
        assert_eq!(labels(&path), ["four"]);
        assert_eq!(fs::read_to_string(&path).unwrap().matches('\0').count(), 0);
    }

    #[test]
    fn it_takes_no_more_than_twice_the_limit() {
        let (_dir, path) = place();
        let mut logs = [(); 2].map(|()| Log::open(&path).unwrap());
        for log in &mut logs {
            log.max_len = 1000;
        }
        let names: Vec<_> = (0..100).map(|number| number.to_string()).collect();
        for (number, name) in names.iter().enumerate() {
            add(&mut logs[number % 2], &[name]);
            let len = |path: &Path| fs::metadata(path).map_or(0, |meta| meta.len());
            assert!(len(&path) <= 1000 && len(&older(&path)) <= 1000);
            let kept = labels(&path);
            assert_eq!(
                kept,
                names[number + 1 - kept.len()..=number],
                "the newest, in order"
            );
            assert!(kept.len() >= 10.min(number), "{kept:?}");
        }
    }

    #[test]
    fn half_a_line_swallows_nothing() {
        let (_dir, path) = place();
        let mut log = Log::open(&path).unwrap();
        add(&mut log, &["one"]);
        let len = fs::metadata(&path).unwrap().len();
        add(&mut log, &["two"]);
        let file = OpenOptions::new().write(true).open(&path).unwrap();
        file.set_len(len + 20).unwrap();
        add(&mut log, &["three"]);
        assert_eq!(labels(&path), ["one", "three"]);
    }

    /// On a file system of its own, which fills up. Only root can mount one.
    #[test]
    fn on_a_full_disk_a_line_is_there_as_a_whole_or_not_at_all() {
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let script = "mount -t tmpfs -o size=16k none \"$1\" && exec \"$2\" --exact \
                      audit::log_file::tests::in_a_small_place --ignored --nocapture";
        let status = std::process::Command::new("unshare")
            .args(["--mount", "sh", "-c", script, "sh"])
            .arg(dir.path())
            .arg(std::env::current_exe().unwrap())
            .env("SMALL_PLACE", dir.path())
            .status()
            .unwrap();
        assert!(status.success());
    }

    #[test]
    #[ignore = "run by on_a_full_disk_a_line_is_there_as_a_whole_or_not_at_all"]
    fn in_a_small_place() {
        let dir = PathBuf::from(std::env::var_os("SMALL_PLACE").unwrap());
        let path = dir.join("log");
        let mut log = Log::open(&path).unwrap();
        let long = "x".repeat(300);
        let mut count = 0;
        loop {
            add(&mut log, &[&long, &long, &long]);
            assert!(fs::read(&path).unwrap().ends_with(b"}\n"));
            let now = labels(&path).len();
            assert_eq!(now, fs::read_to_string(&path).unwrap().lines().count());
            if now < count + 3 {
                break;
            }
            count = now;
        }
        assert!(count > 20);
        let full = labels(&path).len();
        fs::write(dir.join("other"), "").unwrap();
        add(&mut log, &["no room"]);
        assert!(labels(&path).len() <= full + 1);
        let file = OpenOptions::new().write(true).open(&path).unwrap();
        file.set_len(0).unwrap();
        add(&mut log, &["room again"]);
        assert_eq!(labels(&path), ["room again"]);
    }
}
