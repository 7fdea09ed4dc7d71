//! The verifier's key, which seals the tickets of challenges: a file beside the store.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::PathBuf;

use key_proof::TicketKey;
use rand_core::{OsRng, RngCore};
use token_store::StoreDir;
use zeroize::Zeroizing;

use crate::fail::error::Error;

fn path() -> anyhow::Result<PathBuf> {
    Ok(StoreDir::for_user()?.path().join("verifier.key"))
}

/// The key, if one was made.
///
/// # Errors
///
/// If it cannot be read, others could have read or written it, or it is damaged.
pub(crate) fn find() -> anyhow::Result<Option<TicketKey>> {
    let path = path()?;
    let unreadable = |source| Error::Unreadable {
        from: path.display().to_string(),
        source,
    };
    let mut file = match OpenOptions::new()
        .read(true)
        .custom_flags(no_follow())
        .open(&path)
    {
        Err(err) if err.kind() == ErrorKind::NotFound => return Ok(None),
        file => file.map_err(unreadable)?,
    };
    let meta = file.metadata().map_err(unreadable)?;
    let me = rustix::process::geteuid().as_raw();
    if !meta.is_file() || meta.uid() != me || meta.mode() & 0o077 != 0 {
        return Err(Error::ExposedFile { path }.into());
    }
    let mut bytes = Zeroizing::new(Vec::with_capacity(33));
    Read::by_ref(&mut file)
        .take(33)
        .read_to_end(&mut bytes)
        .map_err(unreadable)?;
    let key: [u8; 32] = bytes[..]
        .try_into()
        .map_err(|_| Error::BadVerifierKey { path: path.clone() })?;
    Ok(Some(TicketKey::new(key)))
}

/// The key; made at its first use.
///
/// # Errors
///
/// As for [`find`], and if it cannot be written.
pub(crate) fn find_or_make() -> anyhow::Result<TicketKey> {
    if let Some(key) = find()? {
        return Ok(key);
    }
    let path = path()?;
    let unwritable = |source| Error::Unwritable {
        path: path.clone(),
        source,
    };
    if let Some(dir) = path.parent() {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(dir)
            .map_err(unwritable)?;
        let mut bytes = Zeroizing::new([0; 32]);
        OsRng.fill_bytes(&mut *bytes);
        // Whole or not at all, and never in the place of another program's.
        let mut file = tempfile::NamedTempFile::new_in(dir).map_err(unwritable)?;
        file.write_all(&*bytes)
            .and_then(|()| file.as_file().sync_all())
            .map_err(unwritable)?;
        match file.persist_noclobber(&path) {
            Err(err) if err.error.kind() != ErrorKind::AlreadyExists => {
                return Err(unwritable(err.error).into());
            }
            _ => {}
        }
    }
    find()?.ok_or_else(|| unwritable(ErrorKind::NotFound.into()).into())
}

/// `O_NOFOLLOW`: a link in its place is not followed.
fn no_follow() -> i32 {
    i32::try_from(rustix::fs::OFlags::NOFOLLOW.bits()).unwrap_or(0)
}
