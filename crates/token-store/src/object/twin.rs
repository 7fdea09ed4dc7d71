//! A token has each key only once, so that no copy of a deleted key goes on working.

use rusqlite::Transaction;
use tpm_core::{Blob, Origin, PublicKey};

use super::arrival::Arrival;
use crate::{Error, Result, Store, TokenId, token};

impl Store {
    /// Refuses a key that a token has with its private half.
    ///
    /// For callers that ask people questions first. Each function that keeps a key checks it again,
    /// in the transaction that keeps the key.
    ///
    /// # Errors
    ///
    /// [`Error::KeyExists`], and those of the store.
    pub fn refuse_twin(&self, token: TokenId, public: &PublicKey) -> Result<()> {
        self.read(|tx| refuse_twin(tx, token, public))
    }
}

/// [`Store::refuse_twin`], within a transaction.
///
/// Compares public keys and not public areas: an imported key whose usage differs has another
/// area, and is the same key. Reads and parses all keys of the token.
pub(super) fn refuse_twin(tx: &Transaction<'_>, token: TokenId, public: &PublicKey) -> Result<()> {
    let arrival = Arrival::of(tx, token)?;
    let mut query = tx.prepare_cached(
        "SELECT label, key.public, key.private FROM key JOIN object ON object.key = key.id \
         WHERE key.token = ? AND class = 'private-key'",
    )?;
    let mut rows = query.query([token.0])?;
    while let Some(row) = rows.next()? {
        let blob = Blob {
            public: row.get(1)?,
            private: row.get(2)?,
        };
        // A key that is refused when it is read does not work.
        let Ok(key) = arrival.parse(blob) else {
            continue;
        };
        if key.public() == public {
            return Err(Error::KeyExists {
                token: token::by_id(tx, token)?.label,
                label: row.get(0)?,
                imported: key.origin() == Origin::Outside,
            });
        }
    }
    Ok(())
}
