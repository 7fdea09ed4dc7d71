//! Creating an empty store.

use std::{fs::File, io::Write};

use rand_core::{OsRng, RngCore};
use rusqlite::Connection;
use rustix::{
    fs::{
        AtFlags, Mode, OFlags, RenameFlags, fchmod, fsync, linkat, openat, renameat_with, unlinkat,
    },
    io::Errno,
};
use sha2::{Digest, Sha256};

use super::{FILE, SCHEMA_VERSION, file_limit};
use crate::{Error, Result, place::Dir};

/// One line of a schema: type, name, table and SQL text.
type Line = (String, String, String, Option<String>);

/// Creates an empty store in `dir`, unless another program has created one in the meantime.
///
/// The whole database is written to a temporary file, which is then renamed. So no program sees an
/// unfinished store, and an unfinished one under the real name is known to be damage.
pub(super) fn empty(dir: &Dir) -> Result<()> {
    let mut conn = pristine(SCHEMA_VERSION)?;
    let image = conn.serialize("main")?;
    file_limit::admit(image.len() as u64)?;
    let name = format!(".{FILE}.{:016x}", OsRng.next_u64());
    let placed = write(dir, &name, &image).and_then(|()| place(dir, &name));
    if placed.is_err() {
        let _ = unlinkat(dir.fd(), &name, AtFlags::empty());
    }
    match placed {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(err) => return Err(Error::Disk(err.into())),
    }
    fsync(dir.fd()).map_err(|err| Error::Disk(err.into()))
}

fn write(dir: &Dir, name: &str, image: &[u8]) -> rustix::io::Result<()> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let private = Mode::from_raw_mode(0o600);
    let fd = openat(dir.fd(), name, flags, private)?;
    // The umask may have removed permissions. It belongs to the host program, so it is not changed.
    fchmod(&fd, private)?;
    let mut file = File::from(fd);
    file.write_all(image)
        .and_then(|()| file.sync_all())
        .map_err(|err| Errno::from_io_error(&err).unwrap_or(Errno::IO))
}

fn place(dir: &Dir, name: &str) -> rustix::io::Result<()> {
    match renameat_with(dir.fd(), name, dir.fd(), FILE, RenameFlags::NOREPLACE) {
        // Some network file systems do not know the flag.
        Err(Errno::INVAL | Errno::NOSYS) => {
            linkat(dir.fd(), name, dir.fd(), FILE, AtFlags::empty())?;
            unlinkat(dir.fd(), name, AtFlags::empty())
        }
        result => result,
    }
}

/// The [`digest`] of the schema of this version.
///
/// Each program checks the schema when it opens the store. Making one to compare with, by all the
/// [`STEPS`], took nearly half of the time of `tpmssh list-objects` in a debug build.
const SCHEMA: [u8; 32] = [
    222, 253, 133, 212, 214, 87, 30, 196, 218, 146, 237, 121, 191, 82, 156, 50, 120, 101, 240, 73,
    76, 158, 68, 216, 97, 37, 224, 46, 248, 128, 220, 195,
];

/// Whether the schema of a database is exactly that of this version.
pub(super) fn is_current(conn: &Connection) -> Result<bool> {
    Ok(digest(&schema_of(conn)?) == SCHEMA)
}

/// SHA-256 over all texts of a schema, each after its length, so that no other schema has the same.
fn digest(schema: &[Line]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for (kind, name, table, sql) in schema {
        for text in [Some(kind), Some(name), Some(table), sql.as_ref()] {
            let len = text.map_or(u64::MAX, |text| text.len() as u64);
            hash.update(len.to_be_bytes());
            hash.update(text.map_or("", String::as_str));
        }
    }
    hash.finalize().into()
}

/// The schema of a database.
pub(super) fn schema_of(conn: &Connection) -> Result<Vec<Line>> {
    let mut query =
        conn.prepare("SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY type, name")?;
    let lines = query
        .query_map([], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
        })?
        .collect::<rusqlite::Result<_>>()?;
    Ok(lines)
}

/// The schema of an older version.
pub(super) fn schema_at(version: i64) -> Result<Vec<Line>> {
    schema_of(&pristine(version)?)
}

/// The SQL text that upgrades a store to each version; the first one creates it.
const STEPS: [&str; 12] = [
    include_str!("schema_1.sql"),
    include_str!("schema_2.sql"),
    include_str!("schema_3.sql"),
    include_str!("schema_4.sql"),
    include_str!("schema_5.sql"),
    include_str!("schema_6.sql"),
    include_str!("schema_7.sql"),
    include_str!("schema_8.sql"),
    include_str!("schema_9.sql"),
    include_str!("schema_10.sql"),
    include_str!("schema_11.sql"),
    include_str!("schema_12.sql"),
];

/// Upgrades from version `from` to version `to`.
pub(super) fn upgrade(conn: &Connection, from: i64, to: i64) -> Result<()> {
    for (step, version) in STEPS.iter().zip(1..) {
        if from < version && version <= to {
            conn.execute_batch(step)?;
        }
    }
    Ok(())
}

/// An empty store of some version in memory.
fn pristine(version: i64) -> Result<Connection> {
    let conn = Connection::open_in_memory()?;
    upgrade(&conn, 0, version)?;
    Ok(conn)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_is_that_of_the_schema_that_the_steps_make() -> Result<()> {
        let made = digest(&schema_at(SCHEMA_VERSION)?);
        assert_eq!(
            made, SCHEMA,
            "after a new step, SCHEMA is the first of these"
        );
        Ok(())
    }
}
