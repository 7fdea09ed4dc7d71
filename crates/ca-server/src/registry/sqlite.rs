//! The registry in one file of SQLite.

mod enrol;
mod keys;
mod manage;
mod restored;

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use key_proof::{Binding, Name, PublicArea, TpmTime};
use rusqlite::config::DbConfig;
use rusqlite::{
    Connection, OptionalExtension, Params, Row, Transaction, TransactionBehavior, params,
};
use ssh_format::AnyKey;

use super::{
    Answer, Assignment, Bound, CaKeys, Custody, DeviceLine, Enrolment, Expected, JoinToken, Noted,
    Outcome, Registry, Restored, Retired, Revoked, Sign, Standing, TokenLine,
};
use crate::Refusal;

/// `PRAGMA application_id`: "tpCA".
const APPLICATION: i32 = 0x7470_4341;
/// The schemas, oldest first. `PRAGMA user_version` holds how many of them were applied.
const SCHEMAS: &[&str] = &[
    include_str!("schema_1.sql"),
    include_str!("schema_2.sql"),
    include_str!("schema_3.sql"),
    include_str!("schema_4.sql"),
    include_str!("schema_5.sql"),
    include_str!("schema_6.sql"),
];
/// Our transactions last one disk write and one signature. A lock held longer belongs to a stopped program.
const PATIENCE: Duration = Duration::from_secs(5);

/// The rows of [`read_bound`]: the key with two Names, once for each of its roles.
const BOUND: &str = "SELECT binding.id, ek_name, binding.role, name, binding.state = 'active' AND device.state = 'active', \
    ak_public, signer, ssh_key, key_name, qualified_name, wall, mode, trusted, maker, binding.state IN ('retired', 'revoked') \
    FROM binding JOIN device ON device.id = binding.device \
    JOIN assignment ON assignment.device = binding.device AND assignment.role = binding.role \
    WHERE ak_name = ? AND key_name = ? ORDER BY binding.last_seen DESC, binding.id";

impl From<rusqlite::Error> for Refusal {
    fn from(err: rusqlite::Error) -> Self {
        Self::Unavailable(err.into())
    }
}

/// A registry in one file of SQLite in WAL mode, which adds the files `-wal` and `-shm` beside it.
///
/// One connection writes, so all writers of this process wait for one mutex. A second connection reads meanwhile.
#[derive(Debug)]
pub struct Sqlite {
    writer: Mutex<Connection>,
    reader: Mutex<Connection>,
}

impl Sqlite {
    /// Opens the registry at `path`, and creates or updates its tables.
    ///
    /// # Errors
    ///
    /// [`Refusal::Unavailable`], also for a file of another program or of a newer version.
    pub fn open(path: &Path) -> Result<Self, Refusal> {
        let mut writer = connect(path)?;
        migrate(&mut writer)?;
        Ok(Self {
            writer: Mutex::new(writer),
            reader: Mutex::new(connect(path)?),
        })
    }

    fn reader(&self) -> MutexGuard<'_, Connection> {
        self.reader.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `what` in a transaction that is rolled back unless it returns `true` with its result.
    fn write<T>(
        &self,
        what: impl FnOnce(&Transaction<'_>) -> Result<(T, bool), Refusal>,
    ) -> Result<T, Refusal> {
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let tx = writer.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let (done, keep) = what(&tx)?;
        if keep {
            tx.commit()?;
        }
        Ok(done)
    }
}

fn connect(path: &Path) -> Result<Connection, Refusal> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(PATIENCE)?;
    // Without this guarantee, SQLite plans a cached statement again at each use: rusqlite clears the values, which might change the plan.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    // FULL syncs each commit, because a certificate may leave only after its row is on the disk.
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    // More than an enrolment has.
    connection.set_prepared_statement_cache_capacity(64);
    Ok(connection)
}

/// [`Connection::execute`] with a statement that is parsed once for the connection.
fn execute(connection: &Connection, sql: &str, values: impl Params) -> rusqlite::Result<usize> {
    connection.prepare_cached(sql)?.execute(values)
}

/// [`Connection::query_row`] with a statement that is parsed once for the connection.
fn query_row<T>(
    connection: &Connection,
    sql: &str,
    values: impl Params,
    read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    connection.prepare_cached(sql)?.query_row(values, read)
}

fn migrate(connection: &mut Connection) -> Result<(), Refusal> {
    let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let number = |name: &str| tx.query_row(&format!("PRAGMA {name}"), [], |row| row.get(0));
    let (application, version): (i32, usize) = (
        number("application_id")?,
        tx.query_row("PRAGMA user_version", [], |row| row.get::<_, u32>(0))? as usize,
    );
    let tables: i64 = tx.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    if application != APPLICATION && (application != 0 || tables != 0) {
        return Err(Refusal::Unavailable(
            "the file is not a registry of tpmssh-ca".into(),
        ));
    }
    let Some(missing) = SCHEMAS.get(version..) else {
        return Err(Refusal::Unavailable(
            "the registry was written by a newer tpmssh-ca".into(),
        ));
    };
    for schema in missing {
        tx.execute_batch(schema)?;
    }
    tx.pragma_update(None, "application_id", APPLICATION)?;
    tx.pragma_update(None, "user_version", SCHEMAS.len())?;
    tx.commit()?;
    Ok(())
}

/// A time or counter as a 64-bit integer of SQLite, which is signed. Larger values become the largest.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

/// A proven key from a row of the query in [`Sqlite::bound`](Registry::bound).
fn read_bound(row: &Row<'_>) -> Result<Bound, Refusal> {
    let name = |column| -> Result<Name, Refusal> {
        Name::from_bytes(&row.get::<_, Vec<u8>>(column)?).map_err(corrupt)
    };
    let blob = |column| row.get::<_, Vec<u8>>(column);
    Ok(Bound {
        id: row.get(0)?,
        ek_name: name(1)?,
        assignment: Assignment {
            role: row.get(2)?,
            name: row.get(3)?,
        },
        active: row.get(4)?,
        binding: Binding {
            attestation_key: PublicArea::parse(&blob(5)?).map_err(corrupt)?,
            signer: name(6)?,
            ssh_key: AnyKey::from_blob(&blob(7)?).map_err(corrupt)?,
            key: name(8)?,
            qualified_name: name(9)?,
        },
        wall: row.get(10)?,
        mode: row.get(11)?,
        trusted: row.get(12)?,
        maker: row.get(13)?,
        ended: row.get(14)?,
    })
}

/// The error for a stored structure that cannot be parsed.
fn corrupt(err: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Refusal {
    Refusal::Unavailable(err.into())
}

impl Registry for Sqlite {
    fn states(&self) -> Result<Vec<(String, i64)>, Refusal> {
        let reader = self.reader();
        let mut rows = reader.prepare("SELECT state, count(*) FROM device GROUP BY state")?;
        let rows = rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn ready(&self) -> Result<Option<u64>, Refusal> {
        // A write that is rolled back. It fails if the file is read-only.
        self.write(|tx| {
            tx.execute(
                "INSERT INTO used_nonce SELECT * FROM used_nonce LIMIT 0",
                [],
            )?;
            Ok(((), false))
        })?;
        Ok(None)
    }

    fn standing(&self, ek_name: &Name) -> Result<Option<Standing>, Refusal> {
        let reader = self.reader();
        let sql = "SELECT id, state FROM device WHERE ek_name = ?";
        let device = query_row(&reader, sql, [ek_name.bytes()], |row| {
            Ok((row.get(0)?, row.get(1)?))
        });
        let device: Option<(i64, String)> = device.optional()?;
        let Some((device, state)) = device else {
            return Ok(None);
        };
        let mut statement = reader
            .prepare_cached("SELECT role, name, imported FROM assignment WHERE device = ?")?;
        let mut standing = Standing {
            revoked: state == "revoked",
            ..Standing::default()
        };
        let mut rows = statement.query([device])?;
        while let Some(row) = rows.next()? {
            let role: String = row.get(0)?;
            if row.get(2)? {
                standing.imported.push(role.clone());
            }
            let name = row.get(1)?;
            standing.assignments.push(Assignment { role, name });
        }
        Ok(Some(standing))
    }

    fn join_token(&self, hash: &[u8; 32], now: u64) -> Result<Option<JoinToken>, Refusal> {
        let sql =
            "SELECT role, name, uses_left > 0 AND expires > ?2 FROM join_token WHERE hash = ?1";
        let row = query_row(&self.reader(), sql, params![hash, signed(now)], |row| {
            let (role, name) = (row.get(0)?, row.get(1)?);
            Ok(JoinToken {
                assignment: Assignment { role, name },
                is_good: row.get(2)?,
            })
        });
        Ok(row.optional()?)
    }

    fn bound(&self, attestation_key: &Name, key: &Name) -> Result<Vec<Bound>, Refusal> {
        let reader = self.reader();
        let mut statement = reader.prepare_cached(BOUND)?;
        let mut rows = statement.query(params![attestation_key.bytes(), key.bytes()])?;
        let mut bound = Vec::new();
        while let Some(row) = rows.next()? {
            bound.push(read_bound(row)?);
        }
        Ok(bound)
    }

    fn has_key(&self, ek_name: &Name, ssh_key: &[u8]) -> Result<Vec<Assignment>, Refusal> {
        let sql = "SELECT binding.role, name FROM binding JOIN device ON device.id = binding.device \
                   JOIN assignment ON assignment.device = binding.device AND assignment.role = binding.role \
                   WHERE ek_name = ? AND ssh_key = ? AND binding.state = 'active' AND device.state = 'active' ORDER BY binding.role";
        let reader = self.reader();
        let mut statement = reader.prepare_cached(sql)?;
        let rows = statement.query_map(params![ek_name.bytes(), ssh_key], |row| {
            let (role, name) = (row.get(0)?, row.get(1)?);
            Ok(Assignment { role, name })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn enrol(
        &self,
        enrolment: &Enrolment<'_>,
        principals: &[String],
        sign: Sign<'_>,
    ) -> Result<Outcome, Refusal> {
        self.write(|tx| {
            let outcome = enrol::enrol(tx, enrolment, principals, sign)?;
            let keep = matches!(outcome, Outcome::Issued(_) | Outcome::Pending(_));
            Ok((outcome, keep))
        })
    }

    fn renew(
        &self,
        bound: i64,
        names: &[String],
        time: TpmTime,
        answer: Answer<'_>,
        sign: Sign<'_>,
    ) -> Result<Outcome, Refusal> {
        self.write(|tx| {
            let outcome = enrol::renew(tx, bound, names, time, answer, sign)?;
            let keep = matches!(outcome, Outcome::Issued(_));
            Ok((outcome, keep))
        })
    }

    fn ca_key(&self, kind: &str, public: &[u8], custody: &Custody<'_>) -> Result<i64, Refusal> {
        self.write(|tx| Ok((keys::publish(tx, kind, public, custody)?, true)))
    }

    fn ca_keys(&self) -> Result<CaKeys, Refusal> {
        keys::all(&self.reader())
    }

    fn retire_ca_key(&self, id: i64, force: bool) -> Result<Retired, Refusal> {
        self.write(|tx| {
            let done = keys::retire(tx, id, force)?;
            let keep = matches!(done, Retired::Done(_));
            Ok((done, keep))
        })
    }

    fn revoked(
        &self,
        known: Option<u64>,
        now: u64,
        fresh: u64,
    ) -> Result<Option<Revoked>, Refusal> {
        // The list has rarely changed, and finding that out must not wait for the writers.
        let last = manage::last_list(&self.reader())?;
        if !last.is_over(now, fresh) && known == Some(last.number) {
            return Ok(None);
        }
        self.write(|tx| Ok((Some(manage::revoked(tx, now, fresh)?), true)))
    }

    fn devices(&self) -> Result<Vec<DeviceLine>, Refusal> {
        manage::devices(&self.reader())
    }

    fn add_join_token(&self, token: &TokenLine) -> Result<(), Refusal> {
        let of = &token.assignment;
        self.write(|tx| {
            tx.execute(
                "INSERT INTO join_token (hash, role, name, expires, uses_left, made_by) VALUES (?, ?, ?, ?, ?, ?)",
                params![token.hash, of.role, of.name, signed(token.expires), token.uses, token.by],
            )?;
            Ok(((), true))
        })
    }

    fn join_tokens(&self, now: u64) -> Result<Vec<TokenLine>, Refusal> {
        let sql = "SELECT hash, role, name, uses_left, expires, made_by FROM join_token \
                   WHERE uses_left > 0 AND expires > ? ORDER BY expires, role, name, hash";
        let reader = self.reader();
        let mut statement = reader.prepare_cached(sql)?;
        let rows = statement.query_map([signed(now)], |row| {
            let (role, name) = (row.get(1)?, row.get(2)?);
            Ok(TokenLine {
                hash: row.get(0)?,
                assignment: Assignment { role, name },
                uses: row.get(3)?,
                expires: unsigned(row.get(4)?),
                by: row.get(5)?,
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn withdraw_join_token(&self, hash: &[u8; 32]) -> Result<bool, Refusal> {
        self.write(|tx| {
            let sql = "UPDATE join_token SET uses_left = 0 WHERE hash = ?";
            let done = tx.execute(sql, [hash])? > 0;
            Ok((done, done))
        })
    }

    fn approve(&self, pending: i64) -> Result<Option<AnyKey>, Refusal> {
        self.write(|tx| {
            let key = manage::approve(tx, pending)?;
            let keep = key.is_some();
            Ok((key, keep))
        })
    }

    fn revoke(&self, device: i64, reason: &str, now: u64, by: &str) -> Result<bool, Refusal> {
        self.write(|tx| manage::revoke(tx, device, reason, now, by).map(|done| (done, done)))
    }

    fn ek_name(&self, device: i64) -> Result<Option<Name>, Refusal> {
        let sql = "SELECT ek_name FROM device WHERE id = ?";
        let blob = self.reader().query_row(sql, [device], |row| row.get(0));
        let blob: Option<Vec<u8>> = blob.optional()?;
        blob.map(|it| Name::from_bytes(&it).map_err(corrupt))
            .transpose()
    }

    fn device_keys(&self, ek_name: &Name) -> Result<Vec<(String, Vec<u8>)>, Refusal> {
        let sql = "SELECT role, ssh_key FROM binding JOIN device ON device.id = binding.device WHERE ek_name = ? ORDER BY binding.id";
        let reader = self.reader();
        let mut statement = reader.prepare_cached(sql)?;
        let rows = statement.query_map([ek_name.bytes()], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn has_issued(&self, serial: u64, _time: u64) -> Result<bool, Refusal> {
        let sql = "SELECT EXISTS (SELECT 1 FROM issued WHERE ca IN (SELECT id FROM ca_key) AND serial = ?)";
        let serial = serial.cast_signed();
        Ok(self.reader().query_row(sql, [serial], |row| row.get(0))?)
    }

    fn last_seen(&self) -> Result<u64, Refusal> {
        let sql = "SELECT coalesce(max(last_seen), 0) FROM binding";
        let last = self.reader().query_row(sql, [], |row| row.get(0))?;
        Ok(unsigned(last))
    }

    fn restored(&self, noted: &Noted, now: u64) -> Result<Restored, Refusal> {
        self.write(|tx| Ok((restored::restored(tx, noted, now)?, true)))
    }

    fn import(&self, expected: &[Expected], now: u64) -> Result<Option<usize>, Refusal> {
        self.write(|tx| {
            let refused = manage::import(tx, expected, now)?;
            Ok((refused, refused.is_none()))
        })
    }
}

#[cfg(test)]
mod tests {
    use rusqlite::StatementStatus;

    use super::*;

    #[test]
    fn a_cached_statement_is_planned_once() {
        let dir = tempfile::tempdir().unwrap();
        let registry = Sqlite::open(&dir.path().join("registry")).unwrap();
        let name = Name::from_bytes(&[&[0, 0x0b][..], &[7; 32]].concat()).unwrap();
        for _ in 0..3 {
            assert!(registry.bound(&name, &name).unwrap().is_empty());
        }
        let reader = registry.reader();
        let statement = reader.prepare_cached(BOUND).unwrap();
        assert_eq!(statement.get_status(StatementStatus::Run), 3);
        assert_eq!(statement.get_status(StatementStatus::RePrepare), 0);
    }
}
