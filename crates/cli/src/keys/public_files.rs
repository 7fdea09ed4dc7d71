//! The files with the public keys, after a command has changed the keys.

use agent::public_files::PublicFiles;
use token_store::Store;

use crate::show::output::{error_line, tell};

/// Makes the files in `~/.ssh/tpmssh` as the store has the keys. What cannot be done is told: the keys are as
/// they are all the same.
pub(crate) fn update(store: &Store) {
    let Ok(Some(files)) = PublicFiles::of_store(store.dir()) else {
        return;
    };
    for err in files.update(store) {
        tell(&format!("tpmssh: {}", error_line(&err.into())));
    }
}
