//! Appends lines to the log and syncs them to the disk. Threads that write at the same time share a sync.

use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Map, Value};

use super::tail::{Disk, Tail};
use super::{End, complain, digest};

/// The longest value of a field in a line, in characters. Values may come from the network.
const MAX_SHOWN: usize = 128;
/// Fewer lines than this are not on the disk at any time.
pub(super) const MOST: usize = 32;
/// How long the thread waits for more lines before one sync brings all of them to the disk.
const SOON: Duration = Duration::from_millis(5);
/// How long the thread waits after a sync has failed.
const LATER: Duration = Duration::from_secs(1);

/// A log that threads write to.
pub(super) struct Log {
    state: Mutex<State>,
    /// For the log's own thread: notified when a line is to be on the disk soon, and when the log ends.
    changed: Condvar,
    /// For threads whose lines are to be on the disk: notified when a sync with an even number has ended, and one with an odd number. While a sync runs,
    /// threads wait for it or for the next one.
    synced: [Condvar; 2],
}

struct State {
    tail: Tail,
    /// The number of the next line, counted from 0.
    seq: u64,
    /// The SHA-256 of the last line without its line feed; zeros before the first.
    prev: String,
    /// The end of the lines that a thread syncs just now, in bytes.
    syncs: Option<u64>,
    /// The number of that sync, or else of the next one.
    sync: usize,
    /// The number of syncs that have failed, and the end of the lines of the last one, in bytes.
    failed: (u64, u64),
    /// Whether a line that nobody waits for is not on the disk yet.
    is_noted: bool,
    ends: bool,
}

impl Log {
    /// A log whose lines so far are on the disk.
    pub(super) fn new(disk: Arc<dyn Disk>, end: End) -> Self {
        Self {
            state: Mutex::new(State {
                tail: Tail::new(disk, end.len),
                seq: end.lines,
                prev: end.prev,
                syncs: None,
                sync: 0,
                failed: (0, 0),
                is_noted: false,
                ends: false,
            }),
            changed: Condvar::new(),
            synced: [Condvar::new(), Condvar::new()],
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Appends a line. If `is_durable`, the line is on the disk when this returns, and otherwise soon after.
    pub(super) fn add(
        &self,
        now: u64,
        event: &str,
        facts: &[(&'static str, String)],
        is_durable: bool,
    ) -> io::Result<()> {
        let mut log = self.lock();
        // Not more than one sync runs at a time: the system reports an error of the disk to one of them only.
        while log.tail.waiting() + 1 >= MOST {
            let end = log.tail.end();
            let done;
            (log, done) = self.sync(log, end);
            done?;
        }
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
        log.tail.append(text.as_bytes())?;
        log.seq += 1;
        log.prev = prev;
        if is_durable {
            let end = log.tail.end();
            return self.sync(log, end).1;
        }
        if !log.is_noted {
            log.is_noted = true;
            self.changed.notify_all();
        }
        Ok(())
    }

    /// Returns once the lines before `end` (in bytes) are on the disk. If another thread syncs already, this one waits for it first. The next sync then
    /// covers all lines that were written in the meantime.
    fn sync<'a>(
        &'a self,
        mut log: MutexGuard<'a, State>,
        end: u64,
    ) -> (MutexGuard<'a, State>, io::Result<()>) {
        let (before, _) = log.failed;
        loop {
            if log.tail.durable() >= end {
                return (log, Ok(()));
            }
            let (failures, of) = log.failed;
            if failures != before && end <= of {
                let err = io::Error::other("the disk has failed");
                return (log, Err(err));
            }
            if let Some(covered) = log.syncs {
                let ours = log.sync + usize::from(end > covered);
                let waited = self.synced[ours % 2].wait(log);
                log = waited.unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            let of = log.tail.end();
            let done = match log.tail.group() {
                Some(group) => {
                    log.syncs = Some(of);
                    drop(log);
                    let done = group.sync();
                    log = self.lock();
                    log.syncs = None;
                    log.tail.synced(&group, &done);
                    done
                }
                None => log.tail.sync(),
            };
            if done.is_err() {
                log.failed = (log.failed.0 + 1, of);
                // The thread tries again.
                log.is_noted = true;
                self.changed.notify_all();
            }
            self.synced[log.sync % 2].notify_all();
            log.sync += 1;
            // A caller that came during this sync does the next one.
            self.synced[log.sync % 2].notify_one();
            if done.is_err() {
                return (log, done);
            }
        }
    }

    /// Syncs lines that nobody waits for soon after they were written, until the log ends. This is the work of the log's own thread.
    pub(super) fn sync_soon(&self) {
        let wait = |log, time| {
            let waited = self
                .changed
                .wait_timeout_while(log, time, |log: &mut State| !log.ends);
            waited.unwrap_or_else(PoisonError::into_inner).0
        };
        let mut log = self.lock();
        loop {
            log = self
                .changed
                .wait_while(log, |log| !log.is_noted && !log.ends)
                .unwrap_or_else(PoisonError::into_inner);
            // More lines may come meanwhile, and share the sync.
            log = wait(log, SOON);
            if log.ends {
                return;
            }
            log.is_noted = false;
            let end = log.tail.end();
            let done;
            (log, done) = self.sync(log, end);
            if done.is_err() {
                complain(&done);
                log = wait(log, LATER);
            }
        }
    }

    /// Ends [`Self::sync_soon`].
    pub(super) fn end(&self) {
        self.lock().ends = true;
        self.changed.notify_all();
    }

    /// Syncs all lines.
    pub(super) fn sync_all(&self) -> io::Result<()> {
        let log = self.lock();
        let end = log.tail.end();
        self.sync(log, end).1
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
