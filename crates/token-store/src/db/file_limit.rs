//! The limit on file sizes of this process (`ulimit -f`), which no write of the store may reach.
//!
//! The kernel answers a write beyond the limit with SIGXFSZ, which ends a process that does not
//! handle it: the host of the PKCS#11 module, with all that it was doing.

use std::io;

use rusqlite::Connection;
use rustix::process::{Resource, getrlimit};

use super::pragma;
use crate::{Error, Result};

/// The largest header in SQLite's journal, and what pads one, in bytes.
const SECTOR: u64 = 4096;
/// What surrounds a page in the journal, in bytes.
const RECORD: u64 = 8;

/// Refuses to write a file of `size` bytes that the limit has no room for.
pub(super) fn admit(size: u64) -> Result<()> {
    match limit() {
        Some(limit) if size > limit => Err(too_large(limit)),
        _ => Ok(()),
    }
}

/// Refuses a transaction whose journal could reach the limit, and lets the database grow no
/// further than that.
///
/// To be asked when the transaction has begun and written nothing: from then on no other program makes
/// the database grow.
///
/// The journal has each page of the database at most once, with a header before each in the worst
/// case, which is when SQLite's cache is full all the time.
pub(super) fn keep_below(conn: &Connection) -> Result<()> {
    let Some(limit) = limit() else {
        return Ok(());
    };
    let number = |name| Ok::<_, Error>(pragma(conn, name)?.unsigned_abs());
    let (pages, size) = (number("page_count")?, number("page_size")?.max(1));
    let page = size.saturating_add(RECORD + SECTOR);
    if SECTOR.saturating_add(pages.saturating_mul(page)) > limit {
        return Err(too_large(limit));
    }
    let most = i64::try_from(limit / size).unwrap_or(i64::MAX);
    conn.pragma_update(None, "max_page_count", most)?;
    Ok(())
}

fn limit() -> Option<u64> {
    getrlimit(Resource::Fsize).current
}

fn too_large(limit: u64) -> Error {
    let why = format!("this process may write no file above {limit} bytes (ulimit -f)");
    Error::Disk(io::Error::new(io::ErrorKind::FileTooLarge, why))
}
