//! Copies the registry of a single node from its file into PostgreSQL.

use std::path::Path;

use rusqlite::{Connection, OpenFlags};
use tokio_postgres::types::{ToSql, Type};

use super::pool::{Fault, Pool, Session};
use super::{Location, corrupt, migrate, text};
use crate::Refusal;

/// What was copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Copied {
    /// Devices.
    pub devices: u64,
    /// Certificates.
    pub certificates: u64,
    /// Revoked keys.
    pub revocations: u64,
}

/// A table: how its rows are read from SQLite and written to PostgreSQL.
struct Table {
    name: &'static str,
    select: &'static str,
    insert: &'static str,
}

/// The tables, in an order in which each row comes after those that it refers to.
const TABLES: [Table; 9] = [
    Table {
        name: "device",
        select: "SELECT id, ek_name, state, maker, first_seen FROM device",
        insert: "INSERT INTO device (id, ek_name, state, maker, first_seen) VALUES ($1, $2, $3, $4, $5)",
    },
    Table {
        name: "assignment",
        select: "SELECT device, role, name, state, imported FROM assignment",
        insert: "INSERT INTO assignment (device, role, name, state, imported) VALUES ($1, $2, $3, $4, $5)",
    },
    Table {
        name: "binding",
        select: "SELECT id, device, role, state, ak_name, ak_public, signer, key_name, ssh_key, qualified_name, wall, mode, trusted, \
                 clock, resets, restarts, last_seen, (SELECT max(not_after) FROM issued WHERE issued.binding = binding.id) FROM binding",
        insert: "INSERT INTO binding (id, device, role, state, ak_name, ak_public, signer, key_name, ssh_key, qualified_name, \
                 wall, mode, trusted, clock, resets, restarts, last_seen, last_end) \
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)",
    },
    Table {
        name: "principal",
        select: "SELECT name, binding FROM principal",
        insert: "INSERT INTO principal (name, binding) VALUES ($1, $2)",
    },
    Table {
        name: "ca_key",
        select: "SELECT id, kind, public, state, custody, node FROM ca_key",
        insert: "INSERT INTO ca_key (id, kind, public, state, custody, node) VALUES ($1, $2, $3, $4, $5, $6)",
    },
    Table {
        name: "issued",
        select: "SELECT issued / 86400, ca, serial, binding, issued, not_after, key_id, certificate FROM issued",
        insert: "INSERT INTO issued (day, ca, serial, binding, issued, not_after, key_id, certificate) \
                 VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
    },
    Table {
        name: "used_nonce",
        select: "SELECT nonce, expires, body, certificate, binding FROM used_nonce",
        insert: "INSERT INTO used_nonce (nonce, expires, body, certificate, binding) VALUES ($1, $2, $3, $4, $5)",
    },
    Table {
        name: "join_token",
        select: "SELECT hash, role, name, expires, uses_left, made_by FROM join_token",
        insert: "INSERT INTO join_token (hash, role, name, expires, uses_left, made_by) VALUES ($1, $2, $3, $4, $5, $6)",
    },
    Table {
        name: "revoked_print",
        select: "SELECT sha256, made FROM revoked_print",
        insert: "INSERT INTO revoked_print (sha256, made) VALUES ($1, $2)",
    },
];

/// The table of revocations, which is copied last because its rows are counted for the result.
const REVOCATION: Table = Table {
    name: "revocation",
    select: "SELECT id, device, ssh_key, reason, made, made_by FROM revocation",
    insert: "INSERT INTO revocation (id, device, ssh_key, reason, made, made_by) VALUES ($1, $2, $3, $4, $5, $6)",
};

/// Copies the registry in the file `from` into the database at `to`, completely or not at all. The tables have to exist and to be empty, and the
/// connection has to be that of their owner. The file is merged with its `-wal`, and not changed otherwise.
///
/// # Errors
///
/// [`Refusal::Unavailable`], also for a file that is in use or of another version.
pub fn copy(from: &Path, to: Location) -> Result<Copied, Refusal> {
    // Opening it updates its tables to this version.
    drop(crate::registry::sqlite::Sqlite::open(from)?);
    let source = Connection::open_with_flags(from, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    source.pragma_update(None, "journal_mode", "DELETE")?;
    source.execute_batch("BEGIN EXCLUSIVE")?;
    Pool::new(to).patiently(async |session| {
        migrate::check(session).await?;
        session
            .batch("SET statement_timeout = 0; BEGIN; LOCK TABLE device, ca_key IN EXCLUSIVE MODE")
            .await?;
        let is_used = "SELECT EXISTS (SELECT FROM device) OR EXISTS (SELECT FROM ca_key)";
        if session.one(is_used, &[]).await?.try_get(0)? {
            return Err(corrupt("the database has the registry of an authority already"));
        }
        let mut copied = Copied {
            devices: 0,
            certificates: 0,
            revocations: 0,
        };
        for table in &TABLES {
            let count = table.copy(&source, session).await?;
            match table.name {
                "device" => copied.devices = count,
                "issued" => copied.certificates = count,
                _ => {}
            }
        }
        copied.revocations = REVOCATION.copy(&source, session).await?;
        let sql = "SELECT krl_number, krl_keys, krl_made, keys_number FROM meta";
        let list: (i64, i64, i64, i64) = source
            .query_row(sql, [], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
            })
            .map_err(corrupt)?;
        let sql = "UPDATE meta SET krl_number = $1, krl_keys = $2, krl_made = $3, keys_number = $4";
        session
            .execute(sql, &[&list.0, &list.1, &list.2, &list.3])
            .await?;
        // New rows have to get numbers above those that were copied.
        for table in ["device", "binding", "ca_key", "revocation"] {
            let sql = format!(
                "SELECT setval(pg_get_serial_sequence('{table}', 'id'), (SELECT coalesce(max(id), 0) + 1 FROM {table}), FALSE)"
            );
            session.batch(&sql).await?;
        }
        session.batch("COMMIT").await?;
        Ok(copied)
    })
}

impl Table {
    /// Copies all rows, and returns their number.
    async fn copy(&self, source: &Connection, session: &mut Session) -> Result<u64, Fault> {
        let types = session.types(self.insert).await?;
        let mut select = source.prepare(self.select).map_err(corrupt)?;
        let mut rows = select.query([]).map_err(corrupt)?;
        let mut count = 0;
        while let Some(row) = rows.next().map_err(corrupt)? {
            let mut values: Vec<Box<dyn ToSql + Sync + Send>> = Vec::new();
            for (column, kind) in types.iter().enumerate() {
                values.push(value(row, column, kind).map_err(corrupt)?);
            }
            let values: Vec<&(dyn ToSql + Sync)> = values
                .iter()
                .map(|it| &**it as &(dyn ToSql + Sync))
                .collect();
            session.execute(self.insert, &values).await?;
            count += 1;
        }
        Ok(count)
    }
}

/// A value of a row, in the type of the column in PostgreSQL.
fn value(
    row: &rusqlite::Row<'_>,
    column: usize,
    kind: &Type,
) -> rusqlite::Result<Box<dyn ToSql + Sync + Send>> {
    Ok(match *kind {
        Type::BYTEA => Box::new(row.get::<_, Option<Vec<u8>>>(column)?),
        Type::TEXT => Box::new(row.get::<_, Option<String>>(column)?.map(|it| text(&it))),
        Type::BOOL => Box::new(row.get::<_, bool>(column)?),
        Type::INT2 => Box::new(row.get::<_, i16>(column)?),
        Type::INT4 => Box::new(row.get::<_, i32>(column)?),
        _ => Box::new(row.get::<_, Option<i64>>(column)?),
    })
}
