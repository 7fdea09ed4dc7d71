//! Changing the user PIN, and reading the tries left.

use rusqlite::Transaction;
use tpm_core::{Tpm, Wall};

use super::{Token, Tries, parts::TokenObjects, row};
use crate::{Change, Error, Pin, Result, Role, Store};

/// Changes the user PIN; a wrong `old` costs one try. No key is touched.
///
/// With a PIN counter only the chip changes, because the salt stays the same (see `kdf.rs`): the
/// old PIN is valid until the chip has the new one. With the chip's lockout nothing changes in the
/// chip, which returns the token key with a new private part: the old PIN is valid until that is
/// stored.
///
/// # Errors
///
/// [`Error::WrongPin`], [`Error::PinLocked`], [`Error::NoPin`] for a token without one, and errors
/// of the TPM and of the store. The old PIN is valid then, except after [`Error::Unknown`].
pub fn change_pin(store: &mut Store, tpm: &Tpm, token: &Token, old: &Pin, new: &Pin) -> Result<()> {
    change(store, tpm, token, old, new).map_err(|err| err.of_token(&token.label))
}

fn change(store: &Store, tpm: &Tpm, token: &Token, old: &Pin, new: &Pin) -> Result<()> {
    let objects = TokenObjects::of_this_machine(token)?;
    match objects.key.wall() {
        Wall::None => return Err(Error::NoPin),
        _ if !token.pin_is_set => return Err(Error::PinNotSet),
        Wall::Lockout { .. } if store.is_read_only() => return Err(Error::ReadOnly),
        Wall::Counter(_) | Wall::Lockout { .. } => {}
    }
    let (old, new) = (token.parts.kdf.user(old)?, token.parts.kdf.user(new)?);
    let op = tpm.begin()?;
    let root = objects.srk.open(&op)?;
    let changed = match objects.counter() {
        // Unsealing the secret proves the old PIN to the counter, so a wrong PIN costs one try.
        Some(counter) => {
            let guard = objects.guard()?;
            let sealed = token.parts.secret.as_ref().ok_or_else(lacks_secret)?;
            match objects.key.unseal(&root, &old, sealed) {
                Err(err) => Err((err, false)),
                Ok(secret) => counter
                    .change_auth(&root, (guard, &secret), &old, &new)
                    .map_or_else(|err| Err((err, true)), |()| Ok(None)),
            }
        }
        None => objects
            .key
            .change_auth(&root, &old, &new)
            .map_or_else(|err| Err((err, false)), |key| Ok(Some(key))),
    };
    match changed {
        Ok(key) => {
            let (id, before) = (token.id, &token.parts.token_key);
            let ended = |tx: &Transaction<'_>| row::end_logins(tx, id);
            match key {
                Some(key) => store.write(|tx| {
                    row::replace_private(tx, id, Role::User, before, key.blob())?;
                    ended(tx)
                })?,
                // The PIN is changed already, also if writing the store fails.
                None => {
                    if let Err(err) = store.write(ended) {
                        log::debug!("other logins with the old PIN do not end: {err}");
                    }
                }
            }
            remember(store, token, objects.tries(&root).ok().flatten());
            Ok(())
        }
        // The flag tells whether the chip may have changed the PIN despite the error.
        Err((err, may_be_done)) => {
            let refusal = objects.user_refused(&root, err);
            remember(store, token, refusal.tries);
            match may_be_done {
                true => Err(Change::PinChange.failed(refusal.error)),
                false => Err(refusal.error),
            }
        }
    }
}

/// Asks the chip for the tries left for the user PIN, and stores them if the store can be written;
/// `None` for a token without a PIN. This spends no try and needs no secret.
///
/// # Errors
///
/// [`Error::CounterMissing`], [`Error::OtherTpm`], and those of the TPM.
pub fn refresh_tries(store: &Store, tpm: &Tpm, token: &Token) -> Result<Option<Tries>> {
    let objects = TokenObjects::of_this_machine(token)?;
    let op = tpm.begin()?;
    let tries = objects.tries(&objects.srk.open(&op)?)?;
    remember(store, token, tries);
    Ok(tries)
}

/// Each token with a PIN has the secret: it is stored in the transaction that sets the PIN.
fn lacks_secret() -> Error {
    Error::corrupt("it lacks the secret that changes its PIN")
}

pub(super) fn remember(store: &Store, token: &Token, tries: Option<Tries>) {
    if let Some(tries) = tries {
        store.remember_tries(token.id, Role::User, tries);
    }
}
