//! Reading objects from the database, with a check of each key.

use std::{collections::HashMap, sync::Arc};

use rusqlite::{OptionalExtension, Row, Transaction};
use tpm_core::{Blob, Origin};

use super::{
    Attributes, Body, Key, MAX_ID_LEN, MAX_LABEL_LEN, MAX_VALUE_LEN, Object, ObjectId, Permissions,
    RefusedKey, arrival::Arrival, check_text, spki,
};
use crate::{Error, Result, Store, TokenId};

const SELECT: &str = "SELECT id, token, class, key, label, cka_id, private, subject, value, \
     issuer, serial_number, application, object_id, attributes, \
     (SELECT created FROM key WHERE key.id = object.key) AS key_created FROM object";

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
            let mut query = tx.prepare_cached(
                "SELECT object.id, object.token, class, label, cka_id, object.private, subject, \
                 attributes, key.created AS key_created, \
                 key.public AS key_public, key.private AS key_private, decrypts, \
                 signs, mechanisms, always_authenticate FROM object NOT INDEXED \
                 LEFT JOIN key ON key.id = object.key AND key.token = object.token \
                 WHERE object.token = ? AND class = 'private-key' ORDER BY object.id",
            )?;
            let mut rows = query.query([token.0])?;
            while let Some(row) = rows.next()? {
                let (Some(public), Some(private)) =
                    (row.get("key_public")?, row.get("key_private")?)
                else {
                    return Err(another_token());
                };
                let blob = Blob { public, private };
                if let Ok(key) = parse(&arrival, blob, Permissions::of_row(row)?) {
                    visit(from_row(row, Some(Arc::new(key)))?);
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
            let mut query = tx.prepare_cached(
                "SELECT public, private, decrypts, signs, mechanisms, always_authenticate \
                 FROM key WHERE token = ? ORDER BY id",
            )?;
            let mut rows = query.query([token.0])?;
            let mut imported = None;
            while let Some(row) = rows.next()? {
                let blob = Blob {
                    public: row.get(0)?,
                    private: row.get(1)?,
                };
                let permissions = Permissions::of_row(row)?;
                let Ok(blob) = arrival.parse(blob) else {
                    continue;
                };
                let key = Arc::new(Key::new(blob, permissions));
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
    let mut query =
        tx.prepare_cached(&format!("{SELECT} NOT INDEXED WHERE token = ? ORDER BY id"))?;
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
    let mut query = tx.prepare_cached(&format!("{SELECT} WHERE id = ?"))?;
    let mut rows = query.query_and_then([id.0], |row| keys.object(row))?;
    match rows.next().transpose()?.flatten() {
        Some(object) => Ok(object),
        None => Err(Error::KeyRefused {
            reason: keys.refusal().unwrap_or_default(),
        }),
    }
}

/// An object from its row and its key, if it has one.
fn from_row(row: &Row<'_>, key: Option<Arc<Key>>) -> Result<Object> {
    let class: String = row.get("class")?;
    let body = match (class.as_str(), key) {
        ("private-key", Some(key)) => Body::PrivateKey {
            key,
            subject: row.get("subject")?,
        },
        ("public-key", Some(key)) => Body::PublicKey {
            public: key.public().clone(),
            key: Some(key),
            subject: row.get("subject")?,
        },
        ("public-key", None) => Body::PublicKey {
            public: spki::decode(&row.get::<_, Vec<u8>>("value")?)?,
            key: None,
            subject: row.get("subject")?,
        },
        ("certificate", None) => Body::Certificate {
            value: row.get("value")?,
            subject: row.get("subject")?,
            issuer: row.get("issuer")?,
            serial_number: row.get("serial_number")?,
        },
        ("data", None) => Body::Data {
            value: row.get("value")?,
            application: row.get("application")?,
            object_id: row.get("object_id")?,
        },
        _ => return Err(Error::corrupt("an object has an unknown class")),
    };
    let attributes = Attributes::decode(row.get_ref("attributes")?.as_blob().unwrap_or(&[0]));
    let object = Object {
        id: ObjectId(row.get("id")?),
        token: TokenId(row.get("token")?),
        label: row.get("label")?,
        cka_id: row.get("cka_id")?,
        private: row.get("private")?,
        key_created: row.get("key_created")?,
        attributes: attributes
            .ok_or_else(|| Error::corrupt("an object has attributes that are none"))?,
        body,
    };
    check(&object)?;
    Ok(object)
}

/// Refuses an object with texts or values that are longer than this crate writes.
fn check(object: &Object) -> Result<()> {
    let values: &[&[u8]] = match &object.body {
        Body::PrivateKey { subject, .. } | Body::PublicKey { subject, .. } => &[subject],
        Body::Certificate {
            value,
            subject,
            issuer,
            serial_number,
        } => &[value, subject, issuer, serial_number],
        Body::Data {
            value,
            application,
            object_id,
        } => &[value, application.as_bytes(), object_id],
    };
    let fits = check_text("label", &object.label, MAX_LABEL_LEN).is_ok()
        && object.cka_id.len() <= MAX_ID_LEN
        && values.iter().all(|value| value.len() <= MAX_VALUE_LEN);
    if fits {
        Ok(())
    } else {
        Err(Error::corrupt(
            "an object has a longer value than any that is kept",
        ))
    }
}

/// The keys of a token by their row, or the reason why a key is refused.
struct Keys(HashMap<i64, Result<Arc<Key>, String>>);

impl Keys {
    /// The keys of a token.
    fn of(tx: &Transaction<'_>, token: TokenId) -> Result<Self> {
        Self::read(tx, "token", token.0, &Arrival::of(tx, token)?)
    }

    /// The key in this row of the table `key`; empty if `row` is `None`.
    fn one(tx: &Transaction<'_>, row: Option<i64>) -> Result<Self> {
        match row {
            Some(row) => Self::read(tx, "id", row, &Arrival::of_key(tx, row)?),
            None => Ok(Self(HashMap::new())),
        }
    }

    fn read(tx: &Transaction<'_>, column: &str, value: i64, arrival: &Arrival) -> Result<Self> {
        let mut query = tx.prepare_cached(&format!(
            "SELECT id, public, private, decrypts, signs, mechanisms, always_authenticate \
             FROM key WHERE {column} = ?"
        ))?;
        let keys = query.query_and_then([value], |row| -> Result<_> {
            let blob = Blob {
                public: row.get(1)?,
                private: row.get(2)?,
            };
            Ok((
                row.get(0)?,
                parse(arrival, blob, Permissions::of_row(row)?).map(Arc::new),
            ))
        })?;
        keys.collect::<Result<_>>().map(Self)
    }

    /// An object from its row; `None` if its key is refused.
    fn object(&self, row: &Row<'_>) -> Result<Option<Object>> {
        let key: Option<i64> = row.get("key")?;
        match key.map(|key| self.0.get(&key)) {
            None => from_row(row, None).map(Some),
            Some(Some(Ok(key))) => from_row(row, Some(Arc::clone(key))).map(Some),
            Some(Some(Err(_))) => Ok(None),
            Some(None) => Err(another_token()),
        }
    }

    /// The reason for which one of them is refused.
    fn refusal(self) -> Option<String> {
        self.0.into_values().find_map(Result::err)
    }
}

/// A stored key, or why it is refused.
fn parse(arrival: &Arrival, blob: Blob, permissions: Permissions) -> Result<Key, String> {
    let parsed = arrival.parse(blob);
    let key = parsed.map(|blob| Key::new(blob, permissions));
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
