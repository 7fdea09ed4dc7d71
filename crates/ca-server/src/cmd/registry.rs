//! Which registry a node uses: a file, or a database.

use anyhow::{Context, ensure};

use super::dir::Dir;
use crate::files;
use crate::registry::Registry;
use crate::registry::postgres::{Location, Postgres};
use crate::registry::sqlite::Sqlite;

/// The longest URL of a database, in bytes.
const MAX_URL: u64 = 4096;

/// Opens the database at `url`, if a node can use it.
pub(super) fn look(url: &str) -> anyhow::Result<Postgres> {
    Ok(Postgres::open(Location::parse(url)?)?)
}

/// Stores the URL of the database that the node uses.
pub(super) fn keep(dir: &Dir, url: &str) -> anyhow::Result<()> {
    files::replace(&dir.database(), 0o600, format!("{url}\n").as_bytes())
}

/// Opens the registry of a node: the database that the directory names, or else the file.
pub(super) fn registry(dir: &Dir) -> anyhow::Result<Box<dyn Registry>> {
    let named = dir.database();
    if !named.exists() {
        let path = dir.registry();
        // A new registry is not made here: it would have no revocations.
        ensure!(
            path.exists(),
            "there is no registry in {}: after a migration run tpmssh-ca database use URL",
            path.display()
        );
        let registry = Sqlite::open(&path);
        return Ok(Box::new(
            registry.with_context(|| format!("cannot open {}", path.display()))?,
        ));
    }
    let url = files::read(&named, MAX_URL)?;
    let in_file = || format!("cannot use the database in {}", named.display());
    let location = Location::parse(url.trim()).with_context(in_file)?;
    Ok(Box::new(Postgres::open(location).with_context(in_file)?))
}
