//! Files that a person names on the command line.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use crate::fail::error::{Error, Result};
use crate::show::path;

/// Reads a file whole, or standard input for `-`.
///
/// # Errors
///
/// If it cannot be read, or is longer than `max` bytes.
pub(crate) fn read(path: &Path, max: usize) -> Result<Vec<u8>> {
    let name = path::name(path);
    let unreadable = |source| Error::Unreadable {
        from: name.clone(),
        source,
    };
    let mut bytes = Vec::new();
    let limit = u64::try_from(max).unwrap_or(u64::MAX).saturating_add(1);
    open(path)
        .map_err(unreadable)?
        .take(limit)
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    if bytes.len() > max {
        return Err(Error::TooMuchRead { from: name, max });
    }
    Ok(bytes)
}

/// Reads a text file whole, or standard input for `-`.
///
/// # Errors
///
/// As for [`read`]; if it is not UTF-8.
pub(crate) fn read_text(path: &Path, max: usize) -> Result<String> {
    String::from_utf8(read(path, max)?).map_err(|_| Error::Unreadable {
        from: path::name(path),
        source: io::Error::new(io::ErrorKind::InvalidData, "it is not text"),
    })
}

/// Reads a regular text file whole; `None` for anything else, which might never end, and for what
/// cannot be read or is longer than `max` bytes.
pub(crate) fn read_regular(path: &Path, max: usize) -> Option<String> {
    let is_regular = fs::metadata(path).is_ok_and(|meta| meta.is_file());
    is_regular.then(|| read_text(path, max).ok()).flatten()
}

/// Opens a file, or standard input for `-`.
///
/// # Errors
///
/// That of the system.
pub(crate) fn open(path: &Path) -> io::Result<Box<dyn Read>> {
    if path == Path::new("-") {
        return Ok(Box::new(io::stdin().lock()));
    }
    let file = File::open(path)?;
    if file.metadata()?.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    Ok(Box::new(file))
}
