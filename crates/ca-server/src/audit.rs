//! The audit log: JSON lines, each with the SHA-256 of the line before it.
//!
//! The line of a certificate is on the disk before the certificate leaves. Anybody can cause refusals at no cost, so a refusal does not wait for
//! the disk: its line is in the file at once, and one sync a few milliseconds later brings many such lines to the disk.

mod tail;

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use tail::{Disk, Tail};

/// The longest value of a field in a line, in characters. Values may come from the network.
const MAX_SHOWN: usize = 128;
/// How long the thread waits for more lines before one sync brings all of them to the disk.
const SOON: Duration = Duration::from_millis(5);
/// How long the thread waits after a sync has failed.
const LATER: Duration = Duration::from_secs(1);

/// The log of one node. Dropping it syncs all its lines to the disk; a failure is printed.
pub struct Audit {
    shared: Arc<Shared>,
    /// Syncs groups of lines to the disk.
    thread: Option<JoinHandle<()>>,
}

impl std::fmt::Debug for Audit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Audit").finish_non_exhaustive()
    }
}

struct Shared {
    log: Mutex<Log>,
    /// Notified when a first line waits for the disk, and when the log ends.
    changed: Condvar,
}

struct Log {
    tail: Tail,
    /// The number of the next line, counted from 0.
    seq: u64,
    /// The SHA-256 of the last line without its line feed; zeros before the first.
    prev: String,
    ends: bool,
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
        let shared = Arc::new(Shared {
            log: Mutex::new(Log {
                tail: Tail::new(disk, end.len),
                seq: end.lines,
                prev: end.prev,
                ends: false,
            }),
            changed: Condvar::new(),
        });
        let of_thread = Arc::clone(&shared);
        let thread = thread::Builder::new()
            .name("audit".to_owned())
            .spawn(move || of_thread.make_durable())?;
        Ok(Self {
            shared,
            thread: Some(thread),
        })
    }

    /// Appends a line. When this returns, the line and all lines before it are on the disk.
    ///
    /// Values are cut to 128 characters. Characters that could end a line or control a terminal are escaped.
    ///
    /// # Errors
    ///
    /// If the line cannot be written. It is not in the log then: the next line overwrites what the file may have of it.
    pub fn write(&self, now: u64, event: &str, facts: &[(&'static str, String)]) -> io::Result<()> {
        self.shared.add(now, event, facts, true)
    }

    /// Appends a line that a power cut may lose, such as a refusal. When this returns, the line is in the file. It is on the disk some
    /// milliseconds later, or with the next line of [`Self::write`]. Fewer than 32 lines wait for the disk at any time.
    ///
    /// # Errors
    ///
    /// As [`Self::write`].
    pub fn note(&self, now: u64, event: &str, facts: &[(&'static str, String)]) -> io::Result<()> {
        self.shared.add(now, event, facts, false)
    }
}

impl Drop for Audit {
    fn drop(&mut self) {
        self.shared.lock().ends = true;
        self.shared.changed.notify_all();
        // Fails only if the thread has panicked, which was reported when it happened.
        let _ = self.thread.take().map(JoinHandle::join);
        let mut log = self.shared.lock();
        if log.tail.waiting() > 0 {
            complain(&log.tail.sync());
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(
        &self,
        now: u64,
        event: &str,
        facts: &[(&'static str, String)],
        is_durable: bool,
    ) -> io::Result<()> {
        let mut log = self.lock();
        let mut line = Map::new();
        line.insert("seq".into(), log.seq.into());
        line.insert("time".into(), now.into());
        line.insert("prev".into(), log.prev.clone().into());
        line.insert("event".into(), event.into());
        for (name, value) in facts {
            let shown: String = value.chars().take(MAX_SHOWN).collect();
            line.insert((*name).into(), shown.into());
        }
        let mut text = escaped(&Value::Object(line).to_string());
        let prev = digest(text.as_bytes());
        text.push('\n');
        log.tail.append(text.as_bytes(), is_durable)?;
        log.seq += 1;
        log.prev = prev;
        if log.tail.waiting() == 1 {
            self.changed.notify_all();
        }
        Ok(())
    }

    /// Syncs lines to the disk soon after they were written, until the log ends. This is the work of the thread.
    fn make_durable(&self) {
        let wait = |log, time| {
            let waited = self
                .changed
                .wait_timeout_while(log, time, |log: &mut Log| !log.ends);
            waited.unwrap_or_else(PoisonError::into_inner).0
        };
        let mut log = self.lock();
        loop {
            let quiet = |log: &mut Log| log.tail.waiting() == 0 && !log.ends;
            log = self
                .changed
                .wait_while(log, quiet)
                .unwrap_or_else(PoisonError::into_inner);
            // More lines may come meanwhile, and share the sync.
            log = wait(log, SOON);
            if log.ends {
                return;
            }
            let done = match log.tail.group() {
                Some(group) => {
                    drop(log);
                    let done = group.sync();
                    log = self.lock();
                    log.tail.synced(&group, &done);
                    done
                }
                None => log.tail.sync(),
            };
            if done.is_err() {
                complain(&done);
                log = wait(log, LATER);
            }
        }
    }
}

fn complain(done: &io::Result<()>) {
    if let Err(err) = done {
        eprintln!("tpmssh-ca: lines of the audit log are not on the disk: {err}");
    }
}

/// Escapes each character of JSON that a terminal would not show as itself, such as U+009B. serde_json escapes only those below U+0020.
fn escaped(json: &str) -> String {
    let mut shown = String::with_capacity(json.len());
    for letter in json.chars() {
        if letter.is_ascii_graphic() || letter == ' ' || letter.escape_debug().len() == 1 {
            shown.push(letter);
        } else {
            for unit in letter.encode_utf16(&mut [0; 2]) {
                shown += &format!("\\u{unit:04x}");
            }
        }
    }
    shown
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
    let digest = Sha256::digest(bytes);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write;

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
        }
        audit.write(1000, "renew", &[]).unwrap();
        assert_eq!(kept(&disk), 1001);
        // One sync for each 32 lines, and a few more by the thread if this test runs slowly.
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
