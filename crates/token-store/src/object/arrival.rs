//! The arrival key of a token: the parent of its imported keys.

use rusqlite::{OptionalExtension, Transaction, params};
use tpm_core::{ArrivalKey, Blob, KeyBlob, Origin};

use crate::{Error, Result, Store, TokenId};

/// The arrival key that the imported keys of a token are checked against.
#[derive(Debug, Clone)]
pub(crate) enum Arrival {
    /// Its arrival key.
    Key(ArrivalKey),
    /// Nothing was ever imported into the token.
    Absent,
    /// The stored bytes are not an arrival key, for this reason. No key below it is used.
    Refused(String),
}

impl Arrival {
    /// The arrival key of `token` in the store.
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

    /// The arrival key of the token that the row `key` of the table of keys belongs to.
    pub(crate) fn of_key(tx: &Transaction<'_>, key: i64) -> Result<Self> {
        let sql = "SELECT token FROM key WHERE id = ?";
        let token = tx.query_row(sql, [key], |row| row.get(0)).optional()?;
        token.map_or(Ok(Self::Absent), |token| Self::of(tx, TokenId(token)))
    }

    /// Checks a stored key by the rules for its origin, which its attributes tell.
    ///
    /// # Errors
    ///
    /// [`Error::KeyRefused`], and [`Error::Tpm`] for malformed bytes.
    pub(crate) fn parse(&self, blob: Blob) -> Result<KeyBlob> {
        let refused = |reason: &str| Error::KeyRefused {
            reason: reason.to_owned(),
        };
        match (Origin::claimed_by(&blob), self) {
            (Origin::Chip, _) => Ok(KeyBlob::parse(blob)?),
            (Origin::Outside, Self::Key(arrival)) => Ok(KeyBlob::parse_imported(blob, arrival)?),
            (Origin::Outside, Self::Refused(reason)) => Err(refused(reason)),
            // No version of this program made such a key.
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
    /// [`Error::Corrupt`] if the stored bytes are not an arrival key, and those of the store.
    pub(crate) fn arrival_key(&self, token: TokenId) -> Result<Option<ArrivalKey>> {
        match self.read(|tx| Arrival::of(tx, token))? {
            Arrival::Key(key) => Ok(Some(key)),
            Arrival::Absent => Ok(None),
            Arrival::Refused(reason) => Err(Error::corrupt(reason)),
        }
    }

    /// Keeps `new` as the arrival key of a token that has none yet. Returns the arrival key that the
    /// token then has.
    ///
    /// # Errors
    ///
    /// As for [`Store::arrival_key`]; [`Error::Conflict`] if `token_key` is no longer the key of the
    /// token. Then the token was made anew, and `new` is below none of its keys.
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
