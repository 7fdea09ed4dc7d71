//! Reading objects from the database, with a check of each key.

use std::{collections::HashMap, sync::Arc};

use rusqlite::{OptionalExtension, Row, Transaction};
use tpm_core::Origin;

use super::{
    Key, Object, ObjectId, RefusedKey,
    arrival::Arrival,
    row::{Columns, KEY, KeyRow, OBJECT, ObjectRow},
};
use crate::{Error, Result, Store, TokenId};

impl Store {
    /// The objects of a token, oldest first, without the keys that are refused.
    ///
    /// # Errors
    ///
    /// Those of the store.
    pub fn objects(&self, token: TokenId) -> Result<Vec<Object>> {
        self.read(|tx| objects(tx, token))
    }

    /// The object `id`.
    ///
    /// # Errors
    ///
    /// [`Error::NoSuchObject`], [`Error::KeyRefused`], and those of the store.
    pub fn object(&self, id: ObjectId) -> Result<Object> {
        self.read(|tx| by_id(tx, id))
    }

    /// Calls `visit` with each private key of a token, oldest first, without those that are
    /// refused. These are the keys of [`Store::objects`], but only one at a time is in memory.
    ///
    /// `visit` must not change the store. Other programs cannot change it until all keys were
    /// visited.
    ///
    /// # Errors
    ///
    /// Those of the store.
    pub fn each_private_key(&self, token: TokenId, mut visit: impl FnMut(Object)) -> Result<()> {
        self.read(|tx| {
            let arrival = Arrival::of(tx, token)?;
            // In the order of the table: with an index, SQLite would sort the result in memory.
            let mut query = tx.prepare_cached(&format!(
                "SELECT {KEY}, {OBJECT} FROM object NOT INDEXED \
                 LEFT JOIN key ON key.id = object.key AND key.token = object.token \
                 WHERE object.token = ? AND class = 'private-key' ORDER BY object.id",
            ))?;
            let mut rows = query.query([token.0])?;
            while let Some(row) = rows.next()? {
                let mut columns = Columns::of(row);
                let key = KeyRow::read(&mut columns)?.ok_or_else(another_token)?;
                let object = ObjectRow::read(columns)?;
                let created = key.created;
                if let Ok(key) = parse(&arrival, key) {
                    visit(object.with_key(Some((Arc::new(key), created)))?);
                }
            }
            Ok(())
        })
    }

    /// The keys of a token that are hidden, because they differ from those that this program makes.
    ///
    /// # Errors
    ///
    /// Those of the store.
    pub fn refused(&self, token: TokenId) -> Result<Vec<RefusedKey>> {
        self.read(|tx| {
            let keys = Keys::of(tx, token)?;
            let mut query = tx.prepare_cached(
                "SELECT key, label, cka_id FROM object WHERE token = ? AND class = 'private-key' \
                 ORDER BY id",
            )?;
            let rows = query
                .query_map([token.0], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
                .collect::<rusqlite::Result<Vec<(i64, String, Vec<u8>)>>>()?;
            let refused =
                rows.into_iter()
                    .filter_map(|(key, label, cka_id)| match keys.0.get(&key) {
                        Some(Err(reason)) => Some(RefusedKey {
                            label,
                            cka_id,
                            reason: reason.clone(),
                        }),
                        _ => None,
                    });
            Ok(refused.collect())
        })
    }

    /// The oldest key of a token that is not refused. Keys that were made in the chip come before
    /// imported ones, which take more commands to load.
    pub(crate) fn first_key(&self, token: TokenId) -> Result<Option<Arc<Key>>> {
        self.read(|tx| {
            let arrival = Arrival::of(tx, token)?;
            let mut query = tx.prepare_cached(&format!(
                "SELECT {KEY} FROM key WHERE token = ? ORDER BY id"
            ))?;
            let mut rows = query.query([token.0])?;
            let mut imported = None;
            while let Some(row) = rows.next()? {
                let Some(key) = KeyRow::read(&mut Columns::of(row))? else {
                    continue;
                };
                let Ok(blob) = arrival.parse(key.blob) else {
                    continue;
                };
                let key = Arc::new(Key::new(blob, key.permissions));
                match key.origin() {
                    Origin::Chip => return Ok(Some(key)),
                    Origin::Outside => imported = imported.or(Some(key)),
                }
            }
            Ok(imported)
        })
    }
}

/// [`Store::objects`], within a transaction.
pub(super) fn objects(tx: &Transaction<'_>, token: TokenId) -> Result<Vec<Object>> {
    let keys = Keys::of(tx, token)?;
    // In the order of the table: with an index, SQLite would sort the whole result in memory.
    let mut query = tx.prepare_cached(&format!(
        "SELECT {OBJECT} FROM object NOT INDEXED WHERE token = ? ORDER BY id"
    ))?;
    let objects = query.query_and_then([token.0], |row| keys.object(row))?;
    objects.filter_map(Result::transpose).collect()
}

pub(super) fn by_id(tx: &Transaction<'_>, id: ObjectId) -> Result<Object> {
    let key: Option<Option<i64>> = tx
        .query_row("SELECT key FROM object WHERE id = ?", [id.0], |row| {
            row.get(0)
        })
        .optional()?;
    let keys = Keys::one(tx, key.ok_or(Error::NoSuchObject)?)?;
    let mut query = tx.prepare_cached(&format!("SELECT {OBJECT} FROM object WHERE id = ?"))?;
    let mut rows = query.query_and_then([id.0], |row| keys.object(row))?;
    match rows.next().transpose()?.flatten() {
        Some(object) => Ok(object),
        None => Err(Error::KeyRefused {
            reason: keys.refusal().unwrap_or_default(),
        }),
    }
}

/// The keys of a token by their row, each with the time at which it was made, or the reason why it is
/// refused.
struct Keys(HashMap<i64, Result<(Arc<Key>, u64), String>>);

impl Keys {
    /// The keys of a token.
    fn of(tx: &Transaction<'_>, token: TokenId) -> Result<Self> {
        // In the order of the table, which the index of tokens would jump about in.
        let which = "NOT INDEXED WHERE token = ?";
        Self::read(tx, which, token.0, &Arrival::of(tx, token)?)
    }

    /// The key in this row of the table `key`; empty if `row` is `None`.
    fn one(tx: &Transaction<'_>, row: Option<i64>) -> Result<Self> {
        match row {
            Some(row) => Self::read(tx, "WHERE id = ?", row, &Arrival::of_key(tx, row)?),
            None => Ok(Self(HashMap::new())),
        }
    }

    fn read(tx: &Transaction<'_>, which: &str, value: i64, arrival: &Arrival) -> Result<Self> {
        let mut query = tx.prepare_cached(&format!("SELECT {KEY} FROM key {which}"))?;
        let mut rows = query.query([value])?;
        let mut keys = HashMap::new();
        while let Some(row) = rows.next()? {
            if let Some(key) = KeyRow::read(&mut Columns::of(row))? {
                let (id, created) = (key.id, key.created);
                let parsed = parse(arrival, key).map(|key| (Arc::new(key), created));
                keys.insert(id, parsed);
            }
        }
        Ok(Self(keys))
    }

    /// An object from its row; `None` if its key is refused.
    fn object(&self, row: &Row<'_>) -> Result<Option<Object>> {
        let object = ObjectRow::read(Columns::of(row))?;
        let Some(key) = object.key else {
            return object.with_key(None).map(Some);
        };
        match self.0.get(&key) {
            Some(Ok(key)) => object.with_key(Some(key.clone())).map(Some),
            Some(Err(_)) => Ok(None),
            None => Err(another_token()),
        }
    }

    /// The reason for which one of them is refused.
    fn refusal(self) -> Option<String> {
        self.0.into_values().find_map(Result::err)
    }
}

/// A stored key, or why it is refused.
fn parse(arrival: &Arrival, row: KeyRow) -> Result<Key, String> {
    let parsed = arrival.parse(row.blob);
    let key = parsed.map(|blob| Key::new(blob, row.permissions));
    key.map_err(|err| {
        log::warn!("a stored key is not used: {err}");
        match err {
            Error::KeyRefused { reason } => reason,
            err => err.to_string(),
        }
    })
}

fn another_token() -> Error {
    Error::corrupt("an object has a key of another token")
}
