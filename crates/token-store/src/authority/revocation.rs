//! The revocations of an authority, and their withdrawals.

use rusqlite::{OptionalExtension, Transaction, params};

use super::{authority_of, number};
use crate::{
    Error, ObjectId, Result, Store,
    object::{MAX_VALUE_LEN, check_len},
    token,
};

/// One revocation of an authority.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Revoked {
    /// The certificate with this serial number.
    Serial(u64),
    /// All certificates with this key id.
    KeyId(String),
    /// This public key (SSH wire format), in any certificate.
    Key(Vec<u8>),
}

impl Revoked {
    /// As the columns `what` and `value` have it.
    fn columns(&self) -> Result<(&'static str, Vec<u8>)> {
        let (what, value) = match self {
            Self::Serial(serial) => ("serial", serial.to_be_bytes().to_vec()),
            Self::KeyId(id) => ("key-id", id.clone().into_bytes()),
            Self::Key(blob) => ("key", blob.clone()),
        };
        check_len("value", &value, MAX_VALUE_LEN)?;
        Ok((what, value))
    }

    fn of_columns(what: &str, value: Vec<u8>) -> Result<Self> {
        Ok(match what {
            "serial" => Self::Serial(number(&value)?),
            "key-id" => Self::KeyId(
                String::from_utf8(value).map_err(|_| Error::corrupt("a key id is not text"))?,
            ),
            "key" => Self::Key(value),
            _ => return Err(Error::corrupt("a revocation is of an unknown kind")),
        })
    }
}

/// A revocation that was withdrawn. Its certificate or key is accepted again.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Withdrawn {
    /// The revocation.
    pub revoked: Revoked,
    /// When it was revoked, in seconds since 1970.
    pub revoked_at: u64,
    /// When the revocation was withdrawn, in seconds since 1970.
    pub withdrawn_at: u64,
}

/// All revocations of an authority.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Revocations {
    /// A number that grows with each revocation and each withdrawal; 0 before the first.
    ///
    /// It is the time of the last of them in seconds since 1970, or more if there were several
    /// in one second or the clock went back. So it also grows after an old copy of the store was
    /// restored.
    pub number: u64,
    /// Those that hold, in the order of revocation.
    pub revoked: Vec<Revoked>,
    /// Those that were withdrawn, in the order of withdrawal. The same thing may be revoked again.
    pub withdrawn: Vec<Withdrawn>,
}

impl Store {
    /// Records a revocation; returns `false` if it was recorded already.
    ///
    /// # Errors
    ///
    /// [`Error::TooLong`], [`Error::NoSuchObject`] if `object` is no authority, and those of
    /// the store.
    pub fn add_revocation(&mut self, object: ObjectId, revoked: &Revoked) -> Result<bool> {
        let (what, value) = revoked.columns()?;
        self.write(|tx| {
            let authority = authority_of(tx, object)?;
            let number = next_number(tx, authority)?;
            let added = tx.execute(
                "INSERT INTO revocation (authority, created, what, value) VALUES (?, ?, ?, ?) \
                 ON CONFLICT DO NOTHING",
                params![authority, token::now(), what, value],
            )?;
            if added == 1 {
                set_number(tx, authority, number)?;
            }
            Ok(added == 1)
        })
    }

    /// Withdraws a revocation and records the withdrawal. Returns `false` if nothing was revoked.
    ///
    /// # Errors
    ///
    /// As for [`Store::add_revocation`].
    pub fn withdraw_revocation(&mut self, object: ObjectId, revoked: &Revoked) -> Result<bool> {
        let (what, value) = revoked.columns()?;
        self.write(|tx| {
            let authority = authority_of(tx, object)?;
            let number = next_number(tx, authority)?;
            let recorded = tx.execute(
                "INSERT INTO withdrawal (authority, revoked, created, what, value) \
                 SELECT authority, created, ?4, what, value FROM revocation \
                 WHERE authority = ?1 AND what = ?2 AND value = ?3",
                params![authority, what, value, token::now()],
            )?;
            if recorded == 1 {
                tx.execute(
                    "DELETE FROM revocation WHERE authority = ? AND what = ? AND value = ?",
                    params![authority, what, value],
                )?;
                set_number(tx, authority, number)?;
            }
            Ok(recorded == 1)
        })
    }

    /// The revocations of an authority, and their withdrawals.
    ///
    /// # Errors
    ///
    /// [`Error::NoSuchObject`] if `object` is no authority, and those of the store.
    pub fn revocations(&self, object: ObjectId) -> Result<Revocations> {
        self.read(|tx| {
            let authority = authority_of(tx, object)?;
            let mut query = tx.prepare_cached(
                "SELECT what, value FROM revocation WHERE authority = ? ORDER BY id",
            )?;
            let revoked = query.query_and_then([authority], |row| {
                Revoked::of_columns(&row.get::<_, String>(0)?, row.get(1)?)
            })?;
            let mut query = tx.prepare_cached(
                "SELECT what, value, revoked, created FROM withdrawal WHERE authority = ? \
                 ORDER BY id",
            )?;
            let withdrawn = query.query_and_then([authority], |row| -> Result<_> {
                Ok(Withdrawn {
                    revoked: Revoked::of_columns(&row.get::<_, String>(0)?, row.get(1)?)?,
                    revoked_at: row.get(2)?,
                    withdrawn_at: row.get(3)?,
                })
            })?;
            Ok(Revocations {
                number: list_number(tx, authority)?,
                revoked: revoked.collect::<Result<_>>()?,
                withdrawn: withdrawn.collect::<Result<_>>()?,
            })
        })
    }
}

/// The recorded number of the newest list. Stores of version 7 and older recorded none, and had no
/// withdrawals: there the number follows from the revocations.
fn list_number(tx: &Transaction<'_>, authority: i64) -> Result<u64> {
    let recorded = tx
        .query_row(
            "SELECT number FROM krl_number WHERE authority = ?",
            [authority],
            |row| row.get(0),
        )
        .optional()?;
    if let Some(number) = recorded {
        return Ok(number);
    }
    let mut query =
        tx.prepare_cached("SELECT created FROM revocation WHERE authority = ? ORDER BY id")?;
    let times = query.query_map([authority], |row| row.get::<_, u64>(0))?;
    let mut number = 0_u64;
    for created in times {
        number = created?.max(number.saturating_add(1));
    }
    Ok(number)
}

/// The number of a list that is made now after a change.
fn next_number(tx: &Transaction<'_>, authority: i64) -> Result<u64> {
    let next = list_number(tx, authority)?.saturating_add(1);
    Ok(next.max(token::now()))
}

fn set_number(tx: &Transaction<'_>, authority: i64, number: u64) -> Result<()> {
    tx.execute(
        "INSERT INTO krl_number (authority, number) VALUES (?1, ?2) \
         ON CONFLICT (authority) DO UPDATE SET number = ?2",
        params![authority, number],
    )?;
    Ok(())
}
