//! No key is imported twice.

use rusqlite::Transaction;
use tpm_core::{Origin, PublicKey};

use super::{Class, read::objects};
use crate::{Error, Result, Store, TokenId, token};

impl Store {
    /// Refuses a key that a token has with its private half.
    ///
    /// For callers that ask people questions first: [`OpenToken::import`](crate::OpenToken::import)
    /// checks it again, in the transaction that keeps the key.
    ///
    /// # Errors
    ///
    /// [`Error::KeyExists`], and those of the store.
    pub fn refuse_twin(&self, token: TokenId, public: &PublicKey) -> Result<()> {
        self.read(|tx| refuse_twin(tx, token, public))
    }
}

/// [`Store::refuse_twin`], within a transaction.
pub(super) fn refuse_twin(tx: &Transaction<'_>, token: TokenId, public: &PublicKey) -> Result<()> {
    let twin = objects(tx, token)?
        .into_iter()
        .find(|object| object.class() == Class::PrivateKey && object.public_key() == Some(public));
    match twin {
        None => Ok(()),
        Some(object) => Err(Error::KeyExists {
            token: token::by_id(tx, token)?.label,
            imported: object
                .key()
                .is_some_and(|key| key.origin() == Origin::Outside),
            label: object.label,
        }),
    }
}
