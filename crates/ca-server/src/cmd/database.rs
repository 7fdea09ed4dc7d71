//! `tpmssh-ca database`: the registry in PostgreSQL.

use std::fs;

use anyhow::{Context, bail};
use clap::Subcommand;
use serde_json::json;

use super::dir::Dir;
use super::{Out, registry};
use crate::registry::postgres::{self, Location};

#[derive(Debug, Subcommand)]
pub(super) enum DatabaseCommand {
    /// Make or update the tables in a database of PostgreSQL
    ///
    /// The user in the URL owns the tables from then on. Nodes use the database as another user, who can delete neither certificates nor
    /// revocations.
    ///
    /// Example: tpmssh-ca database prepare postgresql://tpmssh_owner@/tpmssh?host=/run/postgresql --role tpmssh_ca
    Prepare {
        /// The database, as its owner: postgresql://USER@HOST/DATABASE?sslrootcert=FILE
        #[arg(value_name = "URL")]
        database: String,
        /// The user of the nodes, who gets the rights that they need
        #[arg(long, value_name = "NAME")]
        role: Option<String>,
    },
    /// Copy the registry from its file into PostgreSQL
    ///
    /// The node has to be stopped. The tables have to be there (prepare) and empty. The file stays as registry.db.migrated.
    Migrate {
        /// The database, as its owner
        #[arg(value_name = "URL")]
        database: String,
    },
    /// Make a registry safe that was restored from a backup
    ///
    /// All nodes have to be stopped. It revokes again what the audit log says, also machines that the backup does not know. It ends all join
    /// tokens, since those that were used after the backup are good again in it. It raises the number of the list of revoked keys, since
    /// machines refuse a smaller one than they have. Run it on each node before any of them starts: each has an audit log of its own.
    Restored,
    /// Have this node use a database, from its next start on
    Use {
        /// The database, as the user of the nodes
        #[arg(value_name = "URL")]
        database: String,
    },
}

pub(super) fn run(dir: &Dir, command: &DatabaseCommand, out: &Out) -> anyhow::Result<()> {
    match command {
        DatabaseCommand::Prepare { database, role } => {
            postgres::prepare(Location::parse(database)?, role.as_deref())?;
            let said = match role {
                Some(role) => format!("the tables are there, and {role:?} can use them\n"),
                None => "the tables are there\n".to_owned(),
            };
            out.done(&json!({ "prepared": true }), &said)
        }
        DatabaseCommand::Migrate { database } => {
            dir.check()?;
            migrate(dir, Location::parse(database)?, out)
        }
        DatabaseCommand::Restored => super::restored::run(dir, out),
        DatabaseCommand::Use { database } => {
            dir.check()?;
            if dir.registry().exists() {
                bail!(
                    "the registry is in {}: tpmssh-ca database migrate copies it first",
                    dir.registry().display()
                );
            }
            drop(registry::look(database)?);
            registry::keep(dir, database)?;
            let said = "the node uses this database from its next start on\n";
            out.done(&json!({ "used": true }), said)
        }
    }
}

fn migrate(dir: &Dir, location: Location, out: &Out) -> anyhow::Result<()> {
    let path = dir.registry();
    let shown = path.display();
    if !path.exists() {
        bail!("there is no registry in a file here: {shown}");
    }
    // No node can start while this process has the socket.
    let socket = crate::admin::claim(&dir.socket())?;
    let copied = postgres::copy(&path, location)?;
    let to = path.with_extension("db.migrated");
    fs::rename(&path, &to)
        .with_context(|| format!("it is copied, but {shown} cannot be renamed"))?;
    drop(socket);
    let said = format!(
        "copied: {} devices, {} certificates, {} revocations; the file is now {}\n\
         next: tpmssh-ca database use URL, with the user of the nodes\n",
        copied.devices,
        copied.certificates,
        copied.revocations,
        to.display()
    );
    let value = json!({
        "devices": copied.devices,
        "certificates": copied.certificates,
        "revocations": copied.revocations,
    });
    out.done(&value, &said)
}
