//! The last lines of the log: which are on the disk, and which are only in the file (in the cache of the system).

use std::fs::File;
use std::io::{self, Write};
use std::sync::Arc;

/// The operations on its file that a log needs. Tests have a disk that fails.
pub(super) trait Disk: Send + Sync {
    /// Writes at the end of the file.
    fn append(&self, bytes: &[u8]) -> io::Result<()>;
    /// Returns once all that was written is on the disk.
    fn sync(&self) -> io::Result<()>;
    /// Cuts the file to `len` bytes.
    fn cut(&self, len: u64) -> io::Result<()>;
}

/// A file that was opened to append to it.
impl Disk for File {
    fn append(&self, bytes: &[u8]) -> io::Result<()> {
        (&*self).write_all(bytes)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }

    fn cut(&self, len: u64) -> io::Result<()> {
        self.set_len(len)
    }
}

/// The last lines of a log.
pub(super) struct Tail {
    disk: Arc<dyn Disk>,
    /// The length of the lines that are on the disk, in bytes.
    durable: u64,
    /// The lines after those. They are kept here because a failed sync may lose bytes that a write has accepted.
    waiting: Vec<u8>,
    /// How many bytes of `waiting` are in the file.
    written: usize,
    /// Whether the file may have other bytes after these, because a write or a sync has failed.
    torn: bool,
    /// How many writes and syncs have failed. A [`Group`] of an earlier count says nothing of the lines that are waiting now.
    mishaps: u64,
}

/// Lines that one thread syncs to the disk while others append.
pub(super) struct Group {
    disk: Arc<dyn Disk>,
    end: u64,
    mishaps: u64,
}

impl Group {
    /// Returns once the lines are on the disk.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.disk.sync()
    }
}

impl Tail {
    /// The tail of a file with `len` bytes of whole lines, all of which are on the disk.
    pub(super) fn new(disk: Arc<dyn Disk>, len: u64) -> Self {
        Self {
            disk,
            durable: len,
            waiting: Vec::new(),
            written: 0,
            torn: false,
            mishaps: 0,
        }
    }

    /// How many lines are not known to be on the disk.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.iter().filter(|byte| **byte == b'\n').count()
    }

    /// The length of the lines that are on the disk, in bytes.
    pub(super) fn durable(&self) -> u64 {
        self.durable
    }

    /// The length of all lines, in bytes.
    pub(super) fn end(&self) -> u64 {
        let waiting = u64::try_from(self.waiting.len()).unwrap_or(0);
        self.durable + waiting
    }

    /// Appends a line, which ends with a line feed.
    ///
    /// # Errors
    ///
    /// If the line cannot be written. It is not in the log then. Lines before it stay in the log, and come to the disk later.
    pub(super) fn append(&mut self, line: &[u8]) -> io::Result<()> {
        let before = self.waiting.len();
        self.waiting.extend_from_slice(line);
        let done = self.put();
        if done.is_err() {
            self.waiting.truncate(before);
            self.written = self.written.min(before);
            self.torn = true;
            self.mishaps += 1;
        }
        done
    }

    /// Writes all lines to the file and syncs it.
    ///
    /// # Errors
    ///
    /// If the lines cannot be written. The next line tries them again.
    pub(super) fn sync(&mut self) -> io::Result<()> {
        self.put()?;
        if let Err(err) = self.disk.sync() {
            self.lose();
            return Err(err);
        }
        self.settle(self.waiting.len());
        Ok(())
    }

    /// Writes all lines to the file.
    fn put(&mut self) -> io::Result<()> {
        // A full disk may have taken a part of a line, and a failed sync may have left a whole one: write them anew from the last good place.
        if self.torn {
            let written = u64::try_from(self.written).unwrap_or(0);
            self.disk.cut(self.durable + written)?;
        }
        self.torn = true;
        self.disk.append(&self.waiting[self.written..])?;
        self.torn = false;
        self.written = self.waiting.len();
        Ok(())
    }

    /// The waiting lines, to be synced while others append; `None` if some of them are not in the file.
    pub(super) fn group(&self) -> Option<Group> {
        (!self.torn && self.written == self.waiting.len()).then(|| Group {
            disk: Arc::clone(&self.disk),
            end: self.end(),
            mishaps: self.mishaps,
        })
    }

    /// Records the result of [`Group::sync`].
    pub(super) fn synced(&mut self, group: &Group, done: &io::Result<()>) {
        match done {
            Err(_) => self.lose(),
            // A write has failed meanwhile, so other lines may be in their place now.
            Ok(()) if group.mishaps != self.mishaps => {}
            Ok(()) => {
                let len = group.end.saturating_sub(self.durable);
                self.settle(usize::try_from(len).unwrap_or(0));
            }
        }
    }

    /// Records that the first `len` waiting bytes are on the disk.
    fn settle(&mut self, len: usize) {
        let len = len.min(self.waiting.len());
        self.waiting.drain(..len);
        self.written = self.written.saturating_sub(len);
        self.durable += u64::try_from(len).unwrap_or(0);
    }

    /// Has all waiting lines written anew: after a failed sync, the disk may have lost them.
    fn lose(&mut self) {
        self.written = 0;
        self.torn = true;
        self.mishaps += 1;
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::{Mutex, PoisonError};

    use super::*;

    /// A disk with a write cache, whose next sync fails if a test asks for that.
    #[derive(Default)]
    pub(in crate::audit) struct Cached(pub(in crate::audit) Mutex<State>);

    #[derive(Default, Clone)]
    pub(in crate::audit) struct State {
        /// The bytes of the file, as programs read it.
        pub(in crate::audit) file: Vec<u8>,
        /// The bytes that are left after a power cut.
        pub(in crate::audit) kept: Vec<u8>,
        pub(in crate::audit) syncs: usize,
        /// The size of the disk in bytes; without limit if `None`.
        pub(in crate::audit) room: Option<usize>,
        /// Whether the next sync fails and loses the bytes that are not in `kept`.
        pub(in crate::audit) fails: bool,
    }

    impl Cached {
        pub(in crate::audit) fn change<T>(&self, how: impl FnOnce(&mut State) -> T) -> T {
            how(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
        }
    }

    impl Disk for Cached {
        fn append(&self, bytes: &[u8]) -> io::Result<()> {
            self.change(|it| {
                let room = it.room.unwrap_or(usize::MAX).saturating_sub(it.file.len());
                it.file.extend(bytes.iter().take(room));
                if bytes.len() > room {
                    return Err(io::ErrorKind::StorageFull.into());
                }
                Ok(())
            })
        }

        fn sync(&self) -> io::Result<()> {
            self.change(|it| {
                it.syncs += 1;
                if std::mem::take(&mut it.fails) {
                    // As Linux does: after the error, the pages count as clean and are not written again.
                    it.file.clone_from(&it.kept);
                    return Err(io::Error::other("a bad sector"));
                }
                it.kept.clone_from(&it.file);
                Ok(())
            })
        }

        fn cut(&self, len: u64) -> io::Result<()> {
            self.change(|it| it.file.truncate(usize::try_from(len).unwrap_or(0)));
            Ok(())
        }
    }

    fn tail() -> (Arc<Cached>, Tail) {
        let disk = Arc::new(Cached::default());
        let tail = Tail::new(Arc::clone(&disk) as Arc<dyn Disk>, 0);
        (disk, tail)
    }

    fn text(bytes: &[u8]) -> String {
        String::from_utf8_lossy(bytes).replace('\n', " ")
    }

    #[test]
    fn a_line_that_has_to_be_durable_takes_those_before_it_along_in_one_go() {
        let (disk, mut tail) = tail();
        for line in [b"1\n", b"2\n"] {
            tail.append(line).unwrap();
        }
        let held = disk.change(|it| it.clone());
        assert_eq!(
            (text(&held.file), text(&held.kept), held.syncs),
            ("1 2 ".into(), String::new(), 0)
        );
        tail.append(b"3\n").unwrap();
        tail.sync().unwrap();
        let held = disk.change(|it| it.clone());
        assert_eq!((text(&held.kept), held.syncs), ("1 2 3 ".into(), 1));
        assert_eq!(tail.waiting(), 0);
    }

    #[test]
    fn a_full_disk_takes_no_line_and_loses_none_that_was_taken() {
        let (disk, mut tail) = tail();
        tail.append(b"1\n").unwrap();
        disk.change(|it| it.room = Some(4));
        for _ in 0..2 {
            assert!(tail.append(b"two\n").is_err());
        }
        disk.change(|it| it.room = None);
        tail.append(b"3\n").unwrap();
        tail.sync().unwrap();
        assert_eq!(disk.change(|it| text(&it.kept)), "1 3 ");
    }

    #[test]
    fn what_a_bad_disk_has_lost_is_written_again() {
        let (disk, mut tail) = tail();
        for line in [b"1\n", b"2\n"] {
            tail.append(line).unwrap();
        }
        disk.change(|it| it.fails = true);
        assert!(tail.sync().is_err());
        tail.append(b"3\n").unwrap();
        tail.sync().unwrap();
        assert_eq!(disk.change(|it| text(&it.kept)), "1 2 3 ");
        // The same if the sync of a group fails while others write.
        tail.append(b"5\n").unwrap();
        disk.change(|it| it.fails = true);
        let group = tail.group().unwrap();
        let done = group.sync();
        tail.append(b"6\n").unwrap();
        tail.synced(&group, &done);
        tail.sync().unwrap();
        assert_eq!(disk.change(|it| text(&it.kept)), "1 2 3 5 6 ");
    }

    #[test]
    fn lines_that_come_while_a_group_is_made_durable_wait_for_the_next_one() {
        let (disk, mut tail) = tail();
        tail.append(b"1\n").unwrap();
        let group = tail.group().unwrap();
        tail.append(b"2\n").unwrap();
        tail.synced(&group, &group.sync());
        assert_eq!(tail.waiting(), 1);
        // A part of line 3 was in the file for a moment. The sync of the group must not count for line 4, which took its place.
        let group = tail.group().unwrap();
        let done = group.sync();
        disk.change(|it| it.room = Some(it.file.len() + 1));
        assert!(tail.append(b"3\n").is_err());
        disk.change(|it| it.room = None);
        tail.append(b"4\n").unwrap();
        tail.synced(&group, &done);
        assert_eq!(tail.waiting(), 2);
        tail.sync().unwrap();
        assert_eq!(disk.change(|it| text(&it.kept)), "1 2 4 ");
    }
}
