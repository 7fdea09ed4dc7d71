//! Temporary directories that are nobody else's business.

use std::{fs::Permissions, os::unix::fs::PermissionsExt};

use tempfile::TempDir;

/// Makes a directory of mode 0700, which is removed with all that is in it when dropped.
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
