//! The audit log: JSON lines, each with the SHA-256 of the line before it.
//!
//! The line of a certificate is on the disk before the certificate leaves. Anybody can cause refusals at no cost, so a refusal does not wait for
//! the disk: its line is in the file at once, and one sync a few milliseconds later brings many such lines to the disk.

mod log;
mod tail;

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use serde_json::Value;
use sha2::{Digest, Sha256};

use log::Log;
use tail::Disk;

/// The log of one node. Dropping it syncs all its lines to the disk; a failure is printed.
pub struct Audit {
    log: Arc<Log>,
    /// Syncs the lines that nobody waits for.
    thread: Option<JoinHandle<()>>,
}

impl std::fmt::Debug for Audit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Audit").finish_non_exhaustive()
    }
}

/// What is wrong with a log.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The file cannot be read or written.
    #[error("the audit log cannot be read or written")]
    Io(#[from] io::Error),
    /// A line was changed, removed or inserted.
    #[error("line {line} of the audit log does not follow from the one before it")]
    Broken {
        /// The first such line, counted from 1.
        line: u64,
    },
}

impl Audit {
    /// Opens the log at `path` to append to it, or creates it. A node that was killed while it wrote leaves an incomplete last line, which is cut off.
    ///
    /// # Errors
    ///
    /// [`AuditError`], also if a line was changed.
    pub fn open(path: &Path) -> Result<Self, AuditError> {
        let file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .mode(0o600)
            .open(path)?;
        let end = verify(&file)?;
        file.set_len(end.len)?;
        Ok(Self::on(Arc::new(file), end)?)
    }

    fn on(disk: Arc<dyn Disk>, end: End) -> io::Result<Self> {
        let log = Arc::new(Log::new(disk, end));
        let of_thread = Arc::clone(&log);
        let thread = thread::Builder::new()
            .name("audit".to_owned())
            .spawn(move || of_thread.sync_soon())?;
        Ok(Self {
            log,
            thread: Some(thread),
        })
    }

    /// Appends a line. When this returns, the line and all lines before it are on the disk.
    ///
    /// Values are cut to 128 characters. Characters that could end a line or control a terminal are escaped.
    ///
    /// # Errors
    ///
    /// If the line cannot be written or synced. After a failed sync, the line may be in the log all the same: lines of other threads follow from it.
    pub fn write(&self, now: u64, event: &str, facts: &[(&'static str, String)]) -> io::Result<()> {
        self.log.add(now, event, facts, true)
    }

    /// Appends a line that a power cut may lose, such as a refusal. When this returns, the line is in the file. It is on the disk some
    /// milliseconds later, or with the next line of [`Self::write`]. Fewer than 32 lines wait for the disk at any time.
    ///
    /// # Errors
    ///
    /// As [`Self::write`].
    pub fn note(&self, now: u64, event: &str, facts: &[(&'static str, String)]) -> io::Result<()> {
        self.log.add(now, event, facts, false)
    }
}

impl Drop for Audit {
    fn drop(&mut self) {
        self.log.end();
        // Fails only if the thread has panicked, which was reported when it happened.
        let _ = self.thread.take().map(JoinHandle::join);
        complain(&self.log.sync_all());
    }
}

fn complain(done: &io::Result<()>) {
    if let Err(err) = done {
        eprintln!("tpmssh-ca: lines of the audit log are not on the disk: {err}");
    }
}

/// Where a log ends.
#[derive(Debug, PartialEq, Eq)]
pub struct End {
    /// How many whole lines it has.
    pub lines: u64,
    /// Their length in bytes.
    len: u64,
    /// The SHA-256 of the last one, in hexadecimal.
    pub prev: String,
}

/// Checks that each line follows from the one before it.
///
/// A program that can write the file can also replace all of it with a new chain. Only a copy of the last hash, kept elsewhere, shows that.
///
/// # Errors
///
/// [`AuditError`].
pub fn verify(file: &File) -> Result<End, AuditError> {
    let mut reader = BufReader::new(file);
    let mut end = End {
        lines: 0,
        len: 0,
        prev: "0".repeat(64),
    };
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = reader.read_until(b'\n', &mut line)?;
        if line.pop() != Some(b'\n') {
            return Ok(end);
        }
        let value: Option<Value> = serde_json::from_slice(&line).ok();
        let follows = value
            .is_some_and(|value| value["seq"] == end.lines && value["prev"] == end.prev.as_str());
        if !follows {
            return Err(AuditError::Broken {
                line: end.lines + 1,
            });
        }
        end.lines += 1;
        end.len += u64::try_from(read).unwrap_or(0);
        end.prev = digest(&line);
    }
}

/// The SHA-256 of `bytes`, in hexadecimal.
pub(crate) fn digest(bytes: &[u8]) -> String {
    base16ct::lower::encode_string(&Sha256::digest(bytes))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write;
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
    use std::time::Duration;

    use super::tail::tests::Cached;
    use super::*;

    fn on(disk: &Arc<Cached>) -> Audit {
        let start = End {
            lines: 0,
            len: 0,
            prev: "0".repeat(64),
        };
        Audit::on(Arc::clone(disk) as Arc<dyn Disk>, start).unwrap()
    }

    /// How many lines a power cut would leave.
    fn kept(disk: &Cached) -> usize {
        let kept = disk.change(|it| it.kept.clone());
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&kept).unwrap();
        std::io::Seek::rewind(&mut file).unwrap();
        let end = verify(&file).unwrap();
        assert_eq!(end.len, u64::try_from(kept.len()).unwrap());
        usize::try_from(end.lines).unwrap()
    }

    #[test]
    fn a_thousand_refusals_cost_few_writes_to_the_disk_and_all_come_there() {
        let disk = Arc::new(Cached::default());
        let audit = on(&disk);
        for line in 0..1000 {
            audit.note(line, "begin", &[]).unwrap();
            let waiting = disk.change(|it| it.file[it.kept.len()..].to_vec());
            let waiting = waiting.iter().filter(|byte| **byte == b'\n').count();
            assert!(waiting < log::MOST, "{waiting}");
        }
        audit.write(1000, "renew", &[]).unwrap();
        assert_eq!(kept(&disk), 1001);
        // One sync for each 31 lines, and a few more by the thread if this test runs slowly.
        let syncs = disk.change(|it| it.syncs);
        assert!(syncs < 500, "{syncs}");
    }

    #[test]
    fn a_refusal_is_on_the_disk_soon_and_at_the_latest_at_the_end() {
        let disk = Arc::new(Cached::default());
        let audit = on(&disk);
        audit.note(0, "begin", &[]).unwrap();
        let wait = |until: &dyn Fn() -> bool| {
            let begun = std::time::Instant::now();
            while !until() {
                assert!(begun.elapsed().as_secs() < 30, "nobody writes it");
                thread::sleep(Duration::from_millis(1));
            }
        };
        wait(&|| kept(&disk) == 1);
        disk.change(|it| it.fails = true);
        audit.note(1, "begin", &[]).unwrap();
        wait(&|| !disk.change(|it| it.fails));
        audit.note(2, "begin", &[]).unwrap();
        drop(audit);
        assert_eq!(kept(&disk), 3);
    }

    /// A disk whose first sync lasts until [`LINES`] lines are in the file.
    struct Slow {
        disk: Cached,
        is_first: AtomicBool,
        /// Whether the second sync fails.
        fails: bool,
    }

    const LINES: usize = 12;

    impl Slow {
        fn wait(&self) {
            let begun = std::time::Instant::now();
            let lines = || self.disk.change(|it| it.file.clone());
            while lines().iter().filter(|byte| **byte == b'\n').count() < LINES {
                assert!(begun.elapsed().as_secs() < 30, "the others wait as well");
                thread::sleep(Duration::from_millis(1));
            }
        }
    }

    impl Disk for Slow {
        fn append(&self, bytes: &[u8]) -> io::Result<()> {
            self.disk.append(bytes)
        }

        fn sync(&self) -> io::Result<()> {
            let kept = self.disk.change(|it| it.file.clone());
            self.disk.sync()?;
            if self.is_first.swap(false, Ordering::SeqCst) {
                self.wait();
                self.disk.change(|it| {
                    // The lines of the meantime are in the cache alone.
                    it.kept = kept;
                    it.fails = self.fails;
                });
            }
            Ok(())
        }

        fn cut(&self, len: u64) -> io::Result<()> {
            self.disk.cut(len)
        }
    }

    /// Lets [`LINES`] threads write a line each. Returns how many were told that it failed; all lines are on the disk in the end.
    fn together(fails: bool) -> (usize, Arc<Slow>) {
        let disk = Arc::new(Slow {
            disk: Cached::default(),
            is_first: AtomicBool::new(true),
            fails,
        });
        let start = verify(&tempfile::tempfile().unwrap()).unwrap();
        let audit = Audit::on(Arc::clone(&disk) as Arc<dyn Disk>, start).unwrap();
        let failed = thread::scope(|scope| {
            let write = || audit.write(0, "renew", &[]).is_err();
            let all: Vec<_> = (0..LINES).map(|_| scope.spawn(write)).collect();
            all.into_iter()
                .map(|it| it.join().unwrap())
                .filter(|it| *it)
                .count()
        });
        drop(audit);
        assert_eq!(kept(&disk.disk), LINES);
        (failed, disk)
    }

    #[test]
    fn certificates_of_many_threads_share_a_sync() {
        let (failed, disk) = together(false);
        assert_eq!(failed, 0);
        // The first one, during which the other lines came, and one for all of these.
        assert_eq!(disk.disk.change(|it| it.syncs), 2);
    }

    #[test]
    fn a_sync_that_fails_is_an_error_for_all_that_share_it_and_the_lines_come_to_the_disk_later() {
        let (failed, _) = together(true);
        assert_eq!(failed, LINES - 1);
    }

    /// A disk on which each fifth sync and each seventh write fails.
    #[derive(Default)]
    struct Moody {
        disk: Cached,
        calls: AtomicUsize,
    }

    impl Disk for Moody {
        fn append(&self, bytes: &[u8]) -> io::Result<()> {
            if self.calls.fetch_add(1, Ordering::SeqCst) % 7 == 6 {
                return Err(io::ErrorKind::StorageFull.into());
            }
            self.disk.append(bytes)
        }

        fn sync(&self) -> io::Result<()> {
            let call = self.calls.fetch_add(1, Ordering::SeqCst);
            self.disk.change(|it| it.fails = call % 5 == 4);
            let done = self.disk.sync();
            thread::sleep(Duration::from_micros(200));
            done
        }

        fn cut(&self, len: u64) -> io::Result<()> {
            self.disk.cut(len)
        }
    }

    #[test]
    fn nobody_waits_for_good_while_a_disk_fails_now_and_then() {
        const EACH: usize = 100;
        let disk = Arc::new(Moody::default());
        let start = verify(&tempfile::tempfile().unwrap()).unwrap();
        let audit = Arc::new(Audit::on(Arc::clone(&disk) as Arc<dyn Disk>, start).unwrap());
        let (sender, ended) = std::sync::mpsc::channel();
        for thread in 0..12 {
            let (audit, sender) = (Arc::clone(&audit), sender.clone());
            thread::spawn(move || {
                let write = |line| match (line + thread) % 4 {
                    0 => audit.note(0, "begin", &[]),
                    _ => audit.write(0, "renew", &[]),
                };
                let accepted = (0..EACH).filter(|line| write(*line).is_ok()).count();
                drop(audit);
                sender.send(accepted).unwrap();
            });
        }
        let mut accepted = 0;
        for _ in 0..12 {
            let one = ended.recv_timeout(Duration::from_secs(60));
            accepted += one.expect("a thread waits for good");
        }
        assert!((12..12 * EACH).contains(&accepted), "{accepted}");
        drop(Arc::into_inner(audit).unwrap());
        let lines = kept(&disk.disk);
        assert!((accepted..=12 * EACH).contains(&lines), "{lines} lines");
    }

    fn write(path: &Path, lines: u64) {
        let audit = Audit::open(path).unwrap();
        for line in 0..lines {
            let name = "wéb1\n\u{1b}[31m\"\u{7f}\u{9b}\u{202e}\u{e0001}".repeat(100);
            audit.write(line, "issued", &[("name", name)]).unwrap();
        }
    }

    #[test]
    fn a_log_goes_on_where_it_ended_also_after_a_half_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("audit.log");
        write(&path, 2);
        let mut file = OpenOptions::new().append(true).open(&path).unwrap();
        file.write_all(b"{\"seq\":2,\"ti").unwrap();
        write(&path, 2);
        let end = verify(&File::open(&path).unwrap()).unwrap();
        assert_eq!(end.lines, 4);
        let text = fs::read_to_string(&path).unwrap();
        let controls = ['\u{1b}', '\u{7f}', '\u{9b}', '\u{202e}', '\u{e0001}'];
        for line in text.lines() {
            assert!(line.len() < 1200 && !line.contains(controls), "{line}");
            let value: Value = serde_json::from_str(line).unwrap();
            let name = value["name"].as_str().unwrap();
            assert!(name.starts_with("wéb1\n\u{1b}[31m\"\u{7f}\u{9b}\u{202e}\u{e0001}"));
        }
    }

    #[test]
    fn a_line_that_was_changed_removed_or_moved_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("audit.log");
        write(&path, 4);
        let text = fs::read_to_string(&path).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        let changed = lines[1].replace("issued", "denied");
        for (kept, broken) in [
            (vec![lines[0], &changed, lines[2], lines[3]], 3),
            (vec![lines[0], lines[2], lines[3]], 2),
            (vec![lines[1], lines[2], lines[3]], 1),
            (vec![lines[0], lines[2], lines[1], lines[3]], 2),
            (vec![lines[0], lines[1], "x", lines[3]], 3),
        ] {
            fs::write(&path, kept.join("\n") + "\n").unwrap();
            let err = verify(&File::open(&path).unwrap()).unwrap_err();
            assert!(
                matches!(err, AuditError::Broken { line } if line == broken),
                "{err}"
            );
            assert!(
                Audit::open(&path).is_err(),
                "a broken log is not gone on with"
            );
        }
    }
}
