//! Deleting a token.

use rusqlite::Transaction;
use tpm_core::{OwnerAuth, Tpm};

use super::{Token, TokenId, intent, parts::TokenObjects};
use crate::{Change, Error, Result, Store};

/// Deletes a token, its objects and its PIN counter. Its keys are then lost for ever.
///
/// `owner` is the owner hierarchy's authorization, which removing the counter needs. A token
/// without a counter needs neither it nor the TPM.
///
/// # Errors
///
/// [`Error::OtherTpm`] if the token is not of this TPM ([`forget`] removes it then); errors of the
/// TPM and of the store. The token is then unchanged, except after [`Error::Unknown`] and
/// [`Error::Unrecorded`].
pub fn delete(store: &mut Store, tpm: &Tpm, token: &Token, owner: &OwnerAuth) -> Result<()> {
    let objects = TokenObjects::of(token)?;
    let Some(counter) = objects.counter() else {
        return forget(store, token);
    };
    let mut making = store.making()?;
    making.share();
    // Hides the token first: if this process is killed later, the token stays hidden, and `orphans`
    // finds its counter.
    store.write(|tx| set_state(tx, token.id, "ready", "deleting"))?;
    let removed = tpm.begin().map_err(Error::from).and_then(|op| {
        objects.srk.check(&op)?;
        intent::remove_counter(&objects.srk.open(&op)?, counter, owner)
    });
    if let Err(err) = removed {
        // If the counter is gone despite the error, deleting the token again finishes.
        store
            .write(|tx| set_state(tx, token.id, "deleting", "ready"))
            .map_err(|err| Change::Withdrawal.unnoted(err))?;
        return Err(err);
    }
    store
        .write(|tx| remove(tx, token.id))
        .map_err(|err| Change::Deletion.unnoted(err))
}

/// Removes a token and its objects only from the store, for tokens whose TPM is gone or was
/// cleared. Its PIN counter stays in that TPM.
///
/// # Errors
///
/// Those of the store; the token is then as it was.
pub fn forget(store: &mut Store, token: &Token) -> Result<()> {
    store.write(|tx| remove(tx, token.id))
}

/// Removes the rows of a token in any state.
pub(super) fn remove(tx: &Transaction<'_>, id: TokenId) -> Result<()> {
    match tx.execute("DELETE FROM token WHERE id = ?", [id.0])? {
        0 => Err(Error::NoSuchToken {
            name: format!("number {}", id.0),
        }),
        _ => Ok(()),
    }
}

fn set_state(tx: &Transaction<'_>, id: TokenId, from: &str, to: &str) -> Result<()> {
    let sql = "UPDATE token SET state = ? WHERE id = ? AND state = ?";
    match tx.execute(sql, rusqlite::params![to, id.0, from])? {
        0 => Err(Error::NoSuchToken {
            name: format!("number {}", id.0),
        }),
        _ => Ok(()),
    }
}
