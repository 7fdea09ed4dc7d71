//! The verifier's keys, which seal the tickets of challenges: files beside the store.
//!
//! `verifier.key` seals. After 30 days a new one takes its place, and the old one is kept as `verifier-TIME.key`, TIME being when it
//! was put aside (seconds since 1970), until no ticket that it sealed can still be valid. So a stolen key is not accepted for ever.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use key_proof::{MAX_LIFETIME, TicketKey};
use rand_core::{OsRng, RngCore};
use rustix::fs::{FlockOperation, flock};
use token_store::StoreDir;
use zeroize::Zeroizing;

use crate::fail::error::{Error, ProofError};

const DAY: u64 = 24 * 60 * 60;
/// Seconds for which a key seals.
const SEALS_FOR: u64 = 30 * DAY;
/// Seconds for which a retired key still opens tickets: as long as a ticket can be valid, and a day for differing clocks.
const OPENS_FOR: u64 = MAX_LIFETIME + DAY;

/// The name of the key that seals.
const CURRENT: &str = "verifier.key";

fn dir() -> anyhow::Result<PathBuf> {
    Ok(StoreDir::for_user()?.path().to_owned())
}

/// The keys whose tickets can be valid at the time `now`; none if no challenge was made here.
///
/// # Errors
///
/// If one cannot be read, others could have read or written it, or it is damaged.
pub(crate) fn all(now: u64) -> anyhow::Result<Vec<TicketKey>> {
    let dir = dir()?;
    let mut keys = Vec::new();
    let current = dir.join(CURRENT);
    let key = read(&current)?;
    // Its last ticket may be that old. A key that is put aside meanwhile is in the list below.
    if age(&current, now).is_ok_and(|age| age <= SEALS_FOR + OPENS_FOR) {
        keys.extend(key);
    }
    for (path, retired) in put_aside(&dir)? {
        if now <= retired.saturating_add(OPENS_FOR) {
            keys.extend(read(&path)?);
        }
    }
    Ok(keys)
}

/// The key that seals at the time `now`: made at its first use, and again when it is 30 days old.
///
/// Removes keys whose tickets are all invalid.
///
/// # Errors
///
/// As for [`all`], and if a file cannot be written.
pub(crate) fn sealing(now: u64) -> anyhow::Result<TicketKey> {
    let dir = dir()?;
    let path = dir.join(CURRENT);
    let unwritable = |source| Error::Unwritable {
        path: path.clone(),
        source,
    };
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&dir)
        .map_err(unwritable)?;
    // Held to the end, so that only one of two programs retires an old key.
    let lock = File::open(&dir).map_err(unwritable)?;
    flock(&lock, FlockOperation::LockExclusive).map_err(|err| unwritable(err.into()))?;
    for (path, retired) in put_aside(&dir)? {
        if now > retired.saturating_add(OPENS_FOR) {
            fs::remove_file(&path).map_err(|source| Error::Unremovable { path, source })?;
        }
    }
    if let Some(key) = read(&path)? {
        if age(&path, now).map_err(unwritable)? < SEALS_FOR {
            return Ok(key);
        }
        fs::rename(&path, dir.join(format!("verifier-{now}.key"))).map_err(unwritable)?;
    }
    make(&dir).map_err(unwritable)?;
    read(&path)?.ok_or_else(|| unwritable(ErrorKind::NotFound.into()).into())
}

/// The retired keys, and when each was retired.
fn put_aside(dir: &Path) -> anyhow::Result<Vec<(PathBuf, u64)>> {
    let unreadable = |source| Error::Unreadable {
        from: dir.display().to_string(),
        source,
    };
    let entries = match fs::read_dir(dir) {
        Err(err) if err.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(unreadable)?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.map_err(unreadable)?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        let time = name
            .and_then(|name| name.strip_prefix("verifier-")?.strip_suffix(".key"))
            .and_then(|time| time.parse().ok());
        if let Some(time) = time {
            found.push((path, time));
        }
    }
    Ok(found)
}

/// Seconds since the file was written; 0 if the clock was set back since.
fn age(path: &Path, now: u64) -> io::Result<u64> {
    let written = fs::metadata(path)?.mtime();
    Ok(now.saturating_sub(u64::try_from(written).unwrap_or(0)))
}

/// Makes the key that seals, completely or not at all. An existing key is not replaced.
fn make(dir: &Path) -> io::Result<()> {
    let mut bytes = Zeroizing::new([0; 32]);
    OsRng.fill_bytes(&mut *bytes);
    // tempfile gives it mode 0600.
    let mut file = tempfile::NamedTempFile::new_in(dir)?;
    file.write_all(&*bytes)?;
    file.as_file().sync_all()?;
    match file.persist_noclobber(dir.join(CURRENT)) {
        Err(err) if err.error.kind() != ErrorKind::AlreadyExists => Err(err.error),
        _ => Ok(()),
    }
}

/// The key in a file; `None` if there is no file.
fn read(path: &Path) -> anyhow::Result<Option<TicketKey>> {
    let unreadable = |source| Error::Unreadable {
        from: path.display().to_string(),
        source,
    };
    let mut file = match OpenOptions::new()
        .read(true)
        .custom_flags(no_follow())
        .open(path)
    {
        Err(err) if err.kind() == ErrorKind::NotFound => return Ok(None),
        file => file.map_err(unreadable)?,
    };
    let meta = file.metadata().map_err(unreadable)?;
    let me = rustix::process::geteuid().as_raw();
    if !meta.is_file() || meta.uid() != me || meta.mode() & 0o077 != 0 {
        let path = path.to_owned();
        return Err(Error::ExposedFile { path }.into());
    }
    let mut bytes = Zeroizing::new(Vec::with_capacity(33));
    Read::by_ref(&mut file)
        .take(33)
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    let key: [u8; 32] = bytes[..]
        .try_into()
        .map_err(|_| ProofError::BadVerifierKey {
            path: path.to_owned(),
        })?;
    Ok(Some(TicketKey::new(key)))
}

/// `O_NOFOLLOW`: a symbolic link is refused. `O_NONBLOCK`: opening a pipe does not block.
fn no_follow() -> i32 {
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    i32::try_from(flags.bits()).unwrap_or(0)
}
