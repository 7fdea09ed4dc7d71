//! The files with the public keys, after a command has changed the keys.

use agent::public_files::{Error, PublicFiles};
use token_store::Store;

use crate::show::output::{error_line, tell};

/// Updates the files in `~/.ssh/tpmssh` to the keys in the store. Prints failures, and does not return them: the
/// keys are changed without the files as well.
pub(crate) fn update(store: &Store) {
    for err in updated(store) {
        tell(&format!("tpmssh: {}", error_line(&err.into())));
    }
}

/// As [`update`]; returns the failures.
pub(crate) fn updated(store: &Store) -> Vec<Error> {
    match PublicFiles::of_store(store.dir()) {
        Ok(Some(files)) => files.update(store),
        Ok(None) | Err(_) => Vec::new(),
    }
}
