//! The open store: one SQLite database, opened with protection against a hostile file.

use std::{
    cell::{Cell, RefCell},
    fmt,
    path::Path,
    time::{Duration, Instant},
};

use rusqlite::{
    Connection, OpenFlags, Transaction, TransactionBehavior, config::DbConfig, ffi, limits::Limit,
};

use crate::{
    Error, Result, StoreDir,
    place::{CheckedFile, Dir, DirLock, FileId, Seen},
};

mod create;
mod file_limit;
mod sqlite_error;

/// The database's name in the store directory.
const FILE: &str = "store.db";
/// SQLite's rollback journal beside it.
const JOURNAL: &str = "store.db-journal";

/// "tpms": the mark of a database of this program (`PRAGMA application_id`).
const APPLICATION_ID: i64 = 0x7470_6d73;
/// The newest version of the schema.
const SCHEMA_VERSION: i64 = 12;

/// How long to wait for another program's transaction. Our transactions last one disk write. A lock
/// held longer belongs to a stopped or hanging process.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the directory counts as in its place after it was found there, for the change counter. Reads and writes look each time.
const LATELY: Duration = Duration::from_millis(10);
/// The longest row, value or statement that SQLite accepts, in bytes.
const MAX_LENGTH: i32 = 1 << 20;

/// A user's tokens and objects.
///
/// It may move between threads, but only one can use it at a time. A forked child must not use or
/// drop its parent's store; give it to [`std::mem::forget`].
pub struct Store {
    conn: Connection,
    dir: Dir,
    file: FileId,
    read_only: bool,
    /// The last change counter, and the state of the file at that time.
    seen: RefCell<Option<(Seen, u64)>>,
    /// When the directory was last found in its place.
    meant: Cell<Option<Instant>>,
}

impl Store {
    /// Opens an existing store, read-only if its directory or file is.
    ///
    /// # Errors
    ///
    /// [`Error::NoStore`] if there is none; [`Error::UnsafePath`], [`Error::Corrupt`],
    /// [`Error::NewerStore`], [`Error::Busy`], [`Error::Disk`].
    pub fn open(dir: &StoreDir) -> Result<Self> {
        let missing = || Error::NoStore {
            path: dir.path().to_owned(),
        };
        let opened = dir.open()?.ok_or_else(missing)?;
        if opened.file(FILE)?.is_none() {
            refuse_lost_file(&opened)?;
            return Err(missing());
        }
        Self::open_in(opened)
    }

    /// Opens the store, and makes an empty one first if there is none.
    ///
    /// # Errors
    ///
    /// As for [`Store::open`].
    pub fn open_or_create(dir: &StoreDir) -> Result<Self> {
        let dir = dir.create()?;
        if dir.file(FILE)?.is_none() {
            refuse_lost_file(&dir)?;
            if dir.is_read_only()? {
                return Err(Error::ReadOnly);
            }
            create::empty(&dir)?;
        }
        Self::open_in(dir)
    }

    fn open_in(dir: Dir) -> Result<Self> {
        let Some(file) = dir.file(FILE)? else {
            return Err(Error::corrupt("its file vanished"));
        };
        let journal = dir.file(JOURNAL)?.map(|journal| journal.len);
        let journal = journal.filter(|&len| len > 0);
        // A database is created by a rename, so it is whole or absent. An empty file was truncated;
        // SQLite would treat it as a new database.
        if file.len == 0 && journal.is_none() {
            return Err(Error::corrupt("its file is empty"));
        }
        let read_only = file.read_only || dir.is_read_only()?;
        if let Some(journal) = journal {
            // SQLite will play the journal back into the database.
            file_limit::admit(file.len.saturating_add(journal))?;
        }
        let access = if read_only {
            OpenFlags::SQLITE_OPEN_READ_ONLY
        } else {
            OpenFlags::SQLITE_OPEN_READ_WRITE
        };
        let flags = access
            | OpenFlags::SQLITE_OPEN_NO_MUTEX
            | OpenFlags::SQLITE_OPEN_NOFOLLOW
            | OpenFlags::SQLITE_OPEN_EXRESCODE;
        let conn = Connection::open_with_flags(dir.path().join(FILE), flags)?;
        // SQLite opens by path: check that it opened the file that was checked before.
        if !dir.is_in_place()? || dir.file(FILE)?.map(|now| now.id) != Some(file.id) {
            return Err(Error::Replaced);
        }
        let prepare = || {
            harden(&conn)?;
            if !read_only {
                migrate(&conn)?;
            }
            check(&conn, &dir, journal.is_some())
        };
        prepare().map_err(|err| match err {
            Error::Busy if dir.lacks_locks() => Error::NoLocks,
            err => err,
        })?;
        Ok(Self {
            conn,
            dir,
            file: file.id,
            read_only,
            seen: RefCell::default(),
            meant: Cell::default(),
        })
    }

    /// Whether it cannot be written.
    #[must_use]
    pub fn is_read_only(&self) -> bool {
        self.read_only
    }

    /// The directory that it is in, free of symbolic links.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// A number that is different after each change by any program. It takes a few microseconds if
    /// nothing has changed recently.
    ///
    /// # Errors
    ///
    /// [`Error::Replaced`] if another file or directory is in the store's place, or a store that
    /// was opened read-only can be written now: open it again. A directory that was moved may be
    /// noticed ten milliseconds late.
    pub fn change_counter(&self) -> Result<u64> {
        if let Some((seen, generation)) = &*self.seen.borrow()
            && !self.read_only
            && seen.is_current()
            && self.was_meant_lately()?
        {
            return Ok(*generation);
        }
        // Looked at before the counter is read, so a change after this is found the next time.
        let file = self.check_in_place()?;
        if self.read_only && !file.read_only && !self.dir.is_read_only()? {
            return Err(Error::Replaced);
        }
        let seen = file.seen;
        let generation = self.read(|tx| {
            let mut query = tx.prepare_cached("SELECT generation FROM store")?;
            let generation: i64 = query.query_row([], |row| row.get(0))?;
            u64::try_from(generation).map_err(|_| Error::corrupt("its generation is negative"))
        })?;
        self.seen
            .replace(seen.is_settled().then_some((seen, generation)));
        Ok(generation)
    }

    /// Reads the whole database and checks it for damage.
    ///
    /// # Errors
    ///
    /// [`Error::Corrupt`] with the first damage found.
    pub fn check_integrity(&self) -> Result<()> {
        self.read(|tx| integrity(tx, "integrity_check"))
    }

    /// The lock that a program holds while it makes or removes PIN counters. If a program holds it
    /// alone, then the notes of unfinished counters in the store are of programs that were killed.
    pub(crate) fn making(&self) -> Result<DirLock> {
        self.dir.lock()
    }

    /// Runs `body` on one consistent state of the store.
    pub(crate) fn read<T>(&self, body: impl FnOnce(&Transaction<'_>) -> Result<T>) -> Result<T> {
        self.check_in_place()?;
        let tx = Transaction::new_unchecked(&self.conn, TransactionBehavior::Deferred)?;
        body(&tx)
    }

    /// Runs `body` in one transaction: all its changes are kept, or none.
    ///
    /// `body` must not send a command to the TPM, because other programs wait for the transaction.
    pub(crate) fn write<T>(&self, body: impl FnOnce(&Transaction<'_>) -> Result<T>) -> Result<T> {
        if self.read_only {
            return Err(Error::ReadOnly);
        }
        self.check_in_place()?;
        let tx = Transaction::new_unchecked(&self.conn, TransactionBehavior::Immediate)?;
        file_limit::keep_below(&tx)?;
        let result = body(&tx)?;
        let generation: i64 = tx.query_row(
            "UPDATE store SET generation = generation + 1 RETURNING generation",
            [],
            |row| row.get(0),
        )?;
        match tx.commit() {
            Ok(()) => Ok(result),
            Err(err) if self.is_kept(&err, generation) => {
                log::warn!("the store is written, but a power cut can undo it: {err}");
                Ok(result)
            }
            Err(err) => Err(err.into()),
        }
    }

    /// Whether a commit has written its changes although it returned an error.
    ///
    /// SQLite commits by deleting the journal, then it syncs the directory. If only the sync fails,
    /// it returns a code of its own, and the file has the new content.
    fn is_kept(&self, err: &rusqlite::Error, generation: i64) -> bool {
        let deleted = matches!(
            err,
            rusqlite::Error::SqliteFailure(failure, _)
                if failure.extended_code == ffi::SQLITE_IOERR_DIR_FSYNC
        );
        let found = || -> rusqlite::Result<i64> {
            let query = "SELECT generation FROM store";
            self.conn.query_row(query, [], |row| row.get(0))
        };
        deleted && found().is_ok_and(|found| found >= generation)
    }

    /// As [`Dir::is_still_meant`], which follows a whole path, but looked up at most each [`LATELY`]:
    /// a program that lists ten thousand objects asks for the counter a hundred thousand times.
    fn was_meant_lately(&self) -> Result<bool> {
        let now = Instant::now();
        if self.meant.get().is_some_and(|then| now - then < LATELY) {
            return Ok(true);
        }
        let is_meant = self.dir.is_still_meant()?;
        self.meant.set(is_meant.then_some(now));
        Ok(is_meant)
    }

    fn check_in_place(&self) -> Result<CheckedFile> {
        if !self.dir.is_still_meant()? {
            return Err(Error::Replaced);
        }
        match self.dir.file(FILE)? {
            Some(file) if file.id == self.file => Ok(file),
            _ => Err(Error::Replaced),
        }
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store")
            .field("dir", &self.dir.path())
            .field("read_only", &self.read_only)
            .finish_non_exhaustive()
    }
}

/// A journal without a database means that the database was lost. A new database would hide that,
/// and SQLite would play the journal into it.
fn refuse_lost_file(dir: &Dir) -> Result<()> {
    match dir.file(JOURNAL)? {
        Some(_) => Err(Error::corrupt(
            "its file is gone and its journal is still there",
        )),
        None => Ok(()),
    }
}

/// Switches off the features of SQLite that this crate does not need and a hostile file could use.
fn harden(conn: &Connection) -> Result<()> {
    conn.busy_timeout(BUSY_TIMEOUT)?;
    for (option, on) in [
        (DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true),
        (DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false),
        (DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false),
        (DbConfig::SQLITE_DBCONFIG_ENABLE_VIEW, false),
        (DbConfig::SQLITE_DBCONFIG_DQS_DDL, false),
        (DbConfig::SQLITE_DBCONFIG_DQS_DML, false),
        (DbConfig::SQLITE_DBCONFIG_ENABLE_FKEY, true),
    ] {
        conn.set_db_config(option, on)?;
    }
    conn.set_limit(Limit::SQLITE_LIMIT_LENGTH, MAX_LENGTH)?;
    conn.set_limit(Limit::SQLITE_LIMIT_ATTACHED, 0)?;
    conn.set_limit(Limit::SQLITE_LIMIT_WORKER_THREADS, 0)?;
    conn.pragma_update(None, "cell_size_check", true)?;
    conn.pragma_update(None, "mmap_size", 0)?;
    // In KiB. Tables are read in order and one row at a time, so a larger cache is not faster, and
    // an agent would hold it as long as it runs.
    conn.pragma_update(None, "cache_size", -256)?;
    conn.pragma_update(None, "temp_store", "memory")?;
    // After a power failure the store must still have the last commit.
    conn.pragma_update(None, "synchronous", "extra")?;
    Ok(())
}

/// Upgrades a store of an older version in one transaction.
fn migrate(conn: &Connection) -> Result<()> {
    let older = |conn: &Connection| -> Result<Option<i64>> {
        let version = pragma(conn, "user_version")?;
        let ours = pragma(conn, "application_id")? == APPLICATION_ID;
        Ok((ours && (1..SCHEMA_VERSION).contains(&version)).then_some(version))
    };
    if older(conn)?.is_none() {
        return Ok(());
    }
    let tx = Transaction::new_unchecked(conn, TransactionBehavior::Immediate)?;
    file_limit::keep_below(&tx)?;
    // Another program may have upgraded it in the meantime.
    if let Some(found) = older(&tx)? {
        integrity(&tx, "integrity_check")?;
        if create::schema_of(&tx)? != create::schema_at(found)? {
            return Err(Error::corrupt("its tables were changed"));
        }
        create::upgrade(&tx, found, SCHEMA_VERSION)?;
    }
    Ok(tx.commit()?)
}

fn pragma(conn: &Connection, name: &str) -> rusqlite::Result<i64> {
    conn.pragma_query_value(None, name, |row| row.get(0))
}

/// Refuses a database whose schema is not exactly that of this version.
fn check(conn: &Connection, dir: &Dir, journal: bool) -> Result<()> {
    let conn = &*Transaction::new_unchecked(conn, TransactionBehavior::Deferred)?;
    let pragma = |name| pragma(conn, name);
    if pragma("application_id")? != APPLICATION_ID {
        return Err(Error::corrupt("it is not a tpmssh store"));
    }
    match pragma("user_version")? {
        SCHEMA_VERSION => {}
        newer if newer > SCHEMA_VERSION => {
            return Err(Error::NewerStore {
                found: newer,
                known: SCHEMA_VERSION,
            });
        }
        found @ 1.. => return Err(Error::OlderStore { found }),
        _ => return Err(Error::corrupt("its version is unknown")),
    }
    // No other program writes while this transaction reads. SQLite itself would read the missing
    // end of a page as zeros.
    let len = pragma("page_count")?.saturating_mul(pragma("page_size")?);
    if dir
        .file(FILE)?
        .is_none_or(|file| i64::try_from(file.len).is_ok_and(|found| found < len))
    {
        return Err(Error::corrupt("its file was cut short"));
    }
    let mode: String = conn.pragma_query_value(None, "journal_mode", |row| row.get(0))?;
    if mode != "delete" {
        return Err(Error::corrupt("its journal mode was changed"));
    }
    // Triggers and views are switched off. A store with any of them is refused nevertheless.
    if !create::is_current(conn)? {
        return Err(Error::corrupt("its tables were changed"));
    }
    // After a crash SQLite has played the journal back. Only the result shows whether it was the
    // journal of this database.
    integrity(
        conn,
        if journal {
            "integrity_check"
        } else {
            "quick_check"
        },
    )
}

fn integrity(conn: &Connection, pragma: &str) -> Result<()> {
    let found: String = conn.query_row(&format!("PRAGMA {pragma}(1)"), [], |row| row.get(0))?;
    if found == "ok" {
        Ok(())
    } else {
        Err(Error::corrupt(found))
    }
}
