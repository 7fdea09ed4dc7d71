//! The files with the public keys, after a command has changed the keys.

use agent::public_files::{Error, PublicFiles};
use token_store::Store;

use crate::show::output::{error_line, tell};

/// Makes the files in `~/.ssh/tpmssh` as the store has the keys. What cannot be done is told: the change of
/// the keys holds without the files.
pub(crate) fn update(store: &Store) {
    for err in updated(store) {
        tell(&format!("tpmssh: {}", error_line(&err.into())));
    }
}

/// The same; returns what cannot be done.
pub(crate) fn updated(store: &Store) -> Vec<Error> {
    match PublicFiles::of_store(store.dir()) {
        Ok(Some(files)) => files.update(store),
        Ok(None) | Err(_) => Vec::new(),
    }
}
