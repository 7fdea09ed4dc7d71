//! The authority's own keys.

use rusqlite::{Connection, Transaction, params};

use super::unsigned;
use crate::Refusal;
use crate::registry::{CaKey, CaKeys, Custody, Retired, check_known};

/// Stores a key, which is published from now on, and returns its number.
pub(super) fn publish(
    tx: &Transaction<'_>,
    kind: &str,
    public: &[u8],
    custody: &Custody<'_>,
) -> Result<i64, Refusal> {
    let sql =
        "INSERT INTO ca_key (kind, public, state) VALUES (?, ?, 'active') ON CONFLICT DO NOTHING";
    let mut is_new = tx.execute(sql, params![kind, public])? > 0;
    let sql = "SELECT id, kind, state FROM ca_key WHERE public = ?";
    let (id, known, state): (i64, String, String) = tx.query_row(sql, [public], |row| {
        Ok((row.get(0)?, row.get(1)?, row.get(2)?))
    })?;
    check_known(kind, &known, &state)?;
    let sql = "UPDATE ca_key SET state = 'active' WHERE id = ? AND state = 'past'";
    is_new |= tx.execute(sql, [id])? > 0;
    if !custody.node.is_empty() {
        let sql = "UPDATE ca_key SET custody = ?, node = ? WHERE id = ?";
        tx.execute(sql, params![custody.place, custody.node, id])?;
    }
    if is_new {
        count(tx)?;
    }
    Ok(id)
}

/// Increases the number of the list of keys, since the list has changed.
fn count(tx: &Transaction<'_>) -> Result<(), Refusal> {
    tx.execute("UPDATE meta SET keys_number = keys_number + 1", [])?;
    Ok(())
}

pub(super) fn all(db: &Connection) -> Result<CaKeys, Refusal> {
    let sql = "SELECT keys_number, krl_number, id, kind, public, state, custody, node \
               FROM meta LEFT JOIN ca_key ON TRUE ORDER BY id";
    let mut statement = db.prepare_cached(sql)?;
    let mut rows = statement.query([])?;
    let mut all = CaKeys::default();
    while let Some(row) = rows.next()? {
        all.number = unsigned(row.get(0)?);
        all.krl_number = unsigned(row.get(1)?);
        if let Some(id) = row.get(2)? {
            all.keys.push(CaKey {
                id,
                kind: row.get(3)?,
                public: row.get(4)?,
                state: row.get(5)?,
                custody: row.get(6)?,
                node: row.get(7)?,
            });
        }
    }
    Ok(all)
}

pub(super) fn retire(tx: &Transaction<'_>, id: i64, force: bool) -> Result<Retired, Refusal> {
    let found = all(tx)?.retirable(id, force);
    if let Retired::Done(_) = &found {
        tx.execute("UPDATE ca_key SET state = 'retired' WHERE id = ?", [id])?;
        count(tx)?;
    }
    Ok(found)
}
