//! Making a token anew.

use rusqlite::{Transaction, params};
use tpm_core::{AuthValue, Blob, TokenKey, Tpm};

use super::{DEFAULT_TRIES, Token, by_id, check_label, parts::TokenObjects, row, so_token};
use crate::{Error, Result, Role, SoPin, Store};

/// Makes a token anew, as `C_InitToken` does with one that exists: the SO proves the SO PIN,
/// every object and the user PIN are gone, and serial number, SO PIN and wall stay.
///
/// # Errors
///
/// [`Error::WrongPin`], [`Error::NoSo`], [`Error::OtherTpm`] and those of the label, of the
/// TPM and of the store; the token is then as it was.
pub fn reinit(
    store: &mut Store,
    tpm: &Tpm,
    token: &Token,
    label: &str,
    so: &SoPin,
) -> Result<Token> {
    check_label(label)?;
    if store.is_read_only() {
        return Err(Error::ReadOnly);
    }
    let objects = TokenObjects::of(token)?;
    let so_auth = token.parts.kdf.so(so)?;
    let op = tpm.begin()?;
    let so = so_token::prove(store, &op, token, &objects, &so_auth)?;
    let key = TokenKey::create(
        &op,
        &objects.srk,
        objects.key.wall().clone(),
        &AuthValue::random(),
    )?;
    // The store first: killed after this, the token is new and waits for its user PIN. The
    // other way round it could keep keys that nobody has a PIN for.
    let renewed = store.write(|tx| renew(tx, token, label, key.blob()))?;
    if let Some(counter) = objects.counter() {
        let closed = counter.set_auth(&op, &objects.srk, so, &so_auth, &AuthValue::random());
        let limit = token.max_tries.unwrap_or(DEFAULT_TRIES);
        let reset = closed.and_then(|()| counter.reset(&op, &objects.srk, so, &so_auth, limit));
        if let Err(err) = reset {
            // The old PIN opens a token without keys until the new one is set.
            log::warn!("the PIN counter was not reset: {err}");
        }
    }
    Ok(renewed)
}

fn renew(tx: &Transaction<'_>, token: &Token, label: &str, key: &Blob) -> Result<Token> {
    row::replace_private(tx, token.id, Role::User, &token.parts.token_key, key)?;
    tx.execute("DELETE FROM key WHERE token = ?", [token.id.0])?;
    tx.execute("DELETE FROM object WHERE token = ?", [token.id.0])?;
    tx.execute(
        "UPDATE token SET label = ? WHERE id = ?",
        params![label, token.id.0],
    )?;
    row::set_pin_is_set(tx, token.id, false)?;
    row::keep_secret(tx, token.id, None)?;
    by_id(tx, token.id)
}
