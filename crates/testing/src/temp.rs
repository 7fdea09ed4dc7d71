//! Private temporary directories.

use std::{fs::Permissions, os::unix::fs::PermissionsExt, path::Path};

use tempfile::TempDir;

/// Makes a directory of mode 0700, which is removed with its contents when dropped.
///
/// # Panics
///
/// If it cannot be made.
pub(crate) fn temp_dir(prefix: &str) -> TempDir {
    tempfile::Builder::new()
        .prefix(prefix)
        .permissions(Permissions::from_mode(0o700))
        .tempdir()
        .unwrap_or_else(|err| panic!("cannot make a temporary directory: {err}"))
}

/// Makes a directory of mode 0700 in memory (`/dev/shm`), or with the other temporary directories
/// if this machine has none in memory. A database in memory does not wait for a disk.
///
/// # Panics
///
/// If it cannot be made.
#[must_use]
pub fn memory_dir() -> TempDir {
    let mut builder = tempfile::Builder::new();
    builder
        .prefix("tpmssh-store-")
        .permissions(Permissions::from_mode(0o700));
    let memory = Path::new("/dev/shm");
    memory
        .is_dir()
        .then(|| builder.tempdir_in(memory).ok())
        .flatten()
        .or_else(|| builder.tempdir().ok())
        .expect("a temporary directory can be made")
}
