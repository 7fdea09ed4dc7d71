//! The limit of file sizes of this process (`ulimit -f`), which no write of the store may reach.
//!
//! The kernel answers a write beyond the limit with SIGXFSZ. That signal would end the host process
//! of the PKCS#11 module.

use std::io;

use rusqlite::Connection;
use rustix::process::{Resource, getrlimit};

use super::pragma;
use crate::{Error, Result};

/// The largest header in SQLite's journal, with its padding, in bytes.
const SECTOR: u64 = 4096;
/// The overhead of a page in the journal, in bytes.
const RECORD: u64 = 8;

/// Returns an error if a file of `size` bytes would exceed the limit.
pub(super) fn admit(size: u64) -> Result<()> {
    match limit() {
        Some(limit) if size > limit => Err(too_large(limit)),
        _ => Ok(()),
    }
}

/// Returns an error if the journal of a transaction could exceed the limit, and limits the size of
/// the database to the same.
///
/// Call it after the transaction has begun and before it writes: from then on no other program can
/// make the database grow.
///
/// The journal has each page of the database at most once. In the worst case, if SQLite's cache is
/// always full, a header stands before each page.
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
