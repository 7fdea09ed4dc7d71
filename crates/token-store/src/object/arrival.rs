//! The arrival key of a token: the parent of its imported keys.

use rusqlite::{OptionalExtension, Transaction, params};
use tpm_core::{ArrivalKey, Blob, KeyBlob, Origin};

use crate::{Error, Result, Store, TokenId};

/// What the imported keys of a token are checked against.
#[derive(Debug, Clone)]
pub(crate) enum Arrival {
    /// Its arrival key.
    Key(ArrivalKey),
    /// Nothing was ever imported into the token.
    Absent,
    /// What is stored is no arrival key, for this reason: nothing below it is used.
    Refused(String),
}

impl Arrival {
    /// That of `token`, as the store has it.
    pub(crate) fn of(tx: &Transaction<'_>, token: TokenId) -> Result<Self> {
        let mut query = tx.prepare_cached("SELECT public, private FROM arrival WHERE token = ?")?;
        let blob = query
            .query_row([token.0], |row| {
                Ok(Blob {
                    public: row.get(0)?,
                    private: row.get(1)?,
                })
            })
            .optional()?;
        Ok(match blob.map(ArrivalKey::from_blob) {
            None => Self::Absent,
            Some(Ok(key)) => Self::Key(key),
            Some(Err(err)) => Self::Refused(format!("the arrival key of its token: {err}")),
        })
    }

    /// That of the token whose key has this row of `key`.
    pub(crate) fn of_key(tx: &Transaction<'_>, key: i64) -> Result<Self> {
        let sql = "SELECT token FROM key WHERE id = ?";
        let token = tx.query_row(sql, [key], |row| row.get(0)).optional()?;
        token.map_or(Ok(Self::Absent), |token| Self::of(tx, TokenId(token)))
    }

    /// Checks a stored key, by what its attributes say of its origin.
    ///
    /// # Errors
    ///
    /// [`Error::KeyRefused`], and [`Error::Tpm`] for bytes that are no key.
    pub(crate) fn parse(&self, blob: Blob) -> Result<KeyBlob> {
        let refused = |reason: &str| Error::KeyRefused {
            reason: reason.to_owned(),
        };
        match (Origin::claimed_by(&blob), self) {
            (Origin::Chip, _) => Ok(KeyBlob::parse(blob)?),
            (Origin::Outside, Self::Key(arrival)) => Ok(KeyBlob::parse_imported(blob, arrival)?),
            (Origin::Outside, Self::Refused(reason)) => Err(refused(reason)),
            // Such a key never was one of ours.
            (Origin::Outside, Self::Absent) => Err(refused(
                "it was made outside of the TPM, and its token has no arrival key",
            )),
        }
    }
}

impl Store {
    /// The arrival key of a token, if it has one.
    ///
    /// # Errors
    ///
    /// [`Error::Corrupt`] if what is stored is none, and those of the store.
    pub(crate) fn arrival_key(&self, token: TokenId) -> Result<Option<ArrivalKey>> {
        match self.read(|tx| Arrival::of(tx, token))? {
            Arrival::Key(key) => Ok(Some(key)),
            Arrival::Absent => Ok(None),
            Arrival::Refused(reason) => Err(Error::corrupt(reason)),
        }
    }

    /// Keeps `new` as the arrival key of a token, unless it has one by now, and returns the one that
    /// it has.
    ///
    /// # Errors
    ///
    /// As for [`Store::arrival_key`]; [`Error::Conflict`] if the token was made anew since its
    /// token key was `token_key`, so that `new` is below none of its keys.
    pub(crate) fn keep_arrival_key(
        &self,
        token: TokenId,
        token_key: &Blob,
        new: &ArrivalKey,
    ) -> Result<ArrivalKey> {
        let found = self.write(|tx| {
            let public: Option<Vec<u8>> = tx
                .query_row(
                    "SELECT token_public FROM token WHERE id = ? AND state = 'ready'",
                    [token.0],
                    |row| row.get(0),
                )
                .optional()?;
            if public.as_ref() != Some(&token_key.public) {
                return Err(Error::Conflict);
            }
            tx.execute(
                "INSERT INTO arrival (token, public, private) VALUES (?, ?, ?) \
                 ON CONFLICT (token) DO NOTHING",
                params![token.0, new.blob().public, new.blob().private],
            )?;
            Arrival::of(tx, token)
        })?;
        match found {
            Arrival::Key(key) => Ok(key),
            Arrival::Absent => Err(Error::Conflict),
            Arrival::Refused(reason) => Err(Error::corrupt(reason)),
        }
    }
}
