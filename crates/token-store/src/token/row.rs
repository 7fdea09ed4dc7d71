//! Tokens in the database.

use std::time::{SystemTime, UNIX_EPOCH};

use rusqlite::{Row, Transaction, named_params, params};
use tpm_core::{Blob, Capabilities, KeyType, Srk};

use super::{Parts, Token, TokenId, Tries, WallKind, check, check_label};
use crate::{Error, Result, Role, Store, pin::Kdf};

const SELECT: &str = "SELECT id, serial, label, created, wall, srk, token_public, token_private, \
     so_public, so_private, guard_public, guard_private, secret_public, secret_private, \
     so_pin_is_set, pin_is_set, nv_handle, max_tries, salt, kdf_memory, \
     kdf_passes, kdf_lanes, tries_left, tries_max, so_tries_left, so_tries_max, key_types, chip, \
     pin_generation, EXISTS (SELECT 1 FROM key WHERE key.token = token.id) AS has_keys FROM token";

impl Store {
    /// All tokens, oldest first.
    ///
    /// # Errors
    ///
    /// Those of the store.
    pub fn tokens(&self) -> Result<Vec<Token>> {
        self.read(|tx| {
            let mut query =
                tx.prepare_cached(&format!("{SELECT} WHERE state = 'ready' ORDER BY id"))?;
            query.query_and_then([], from_row)?.collect()
        })
    }

    /// The token `id`.
    ///
    /// # Errors
    ///
    /// [`Error::NoSuchToken`], and those of the store.
    pub fn token(&self, id: TokenId) -> Result<Token> {
        self.read(|tx| by_id(tx, id))
    }

    /// The token with this label or serial number.
    ///
    /// # Errors
    ///
    /// [`Error::NoSuchToken`], [`Error::AmbiguousToken`] if several tokens have the label; errors
    /// of the store.
    pub fn find_token(&self, name: &str) -> Result<Token> {
        let mut found: Vec<_> = self
            .tokens()?
            .into_iter()
            .filter(|t| t.serial == name || t.label == name)
            .collect();
        match found.len() {
            0 => Err(Error::NoSuchToken {
                name: name.to_owned(),
            }),
            1 => Ok(found.remove(0)),
            // A label can have the form of a serial number; the serial number has precedence.
            _ => {
                found
                    .into_iter()
                    .find(|t| t.serial == name)
                    .ok_or_else(|| Error::AmbiguousToken {
                        name: name.to_owned(),
                    })
            }
        }
    }

    /// Gives a token another label.
    ///
    /// # Errors
    ///
    /// Those of [`check_label`] and of the store.
    pub(crate) fn set_token_label(&self, id: TokenId, label: &str) -> Result<()> {
        check_label(label)?;
        self.write(|tx| {
            let sql = "UPDATE token SET label = ? WHERE id = ? AND state = 'ready'";
            one_row(id, tx.execute(sql, params![label, id.0])?)
        })
    }

    /// Stores the tries left, if they changed and the store can be written.
    ///
    /// An error is only logged, because a login must not fail for it.
    pub(crate) fn remember_tries(&self, id: TokenId, role: Role, tries: Tries) {
        let (left, max) = match role {
            Role::User => ("tries_left", "tries_max"),
            Role::So => ("so_tries_left", "so_tries_max"),
        };
        let known = self.read(|tx| {
            let sql = format!("SELECT {left}, {max} FROM token WHERE id = ?");
            Ok(tx.query_row(&sql, [id.0], |row| Ok((row.get(0)?, row.get(1)?)))?)
        });
        if known
            .as_ref()
            .is_ok_and(|&known| known == (Some(tries.left), Some(tries.max)))
        {
            return;
        }
        let written = self.write(|tx| {
            let sql = format!("UPDATE token SET {left} = ?, {max} = ? WHERE id = ?");
            tx.execute(&sql, params![tries.left, tries.max, id.0])?;
            Ok(())
        });
        if let Err(err) = written {
            log::debug!("the tries left are not remembered: {err}");
        }
    }
}

impl Store {
    /// Stores the capabilities of a token's chip, which new firmware may have changed.
    ///
    /// An error is only logged, because the chip can be asked again.
    pub(crate) fn remember_chip(&self, id: TokenId, chip: &Capabilities) {
        let written = self.write(|tx| {
            let sql = "UPDATE token SET chip = ?, key_types = ? WHERE id = ?";
            let key_types = key_type_list(&chip.key_types());
            tx.execute(sql, params![chip.to_bytes(), key_types, id.0])?;
            Ok(())
        });
        if let Err(err) = written {
            log::debug!("what the TPM can do is not remembered: {err}");
        }
    }
}

/// The token `id`, read in the transaction `tx`.
pub(crate) fn by_id(tx: &Transaction<'_>, id: TokenId) -> Result<Token> {
    tx.prepare_cached(&format!("{SELECT} WHERE state = 'ready' AND id = ?"))?
        .query_and_then([id.0], from_row)?
        .next()
        .unwrap_or_else(|| Err(no_such(id)))
}

/// The tokens whose deletion was begun and not finished.
pub(super) fn being_deleted(tx: &Transaction<'_>) -> Result<Vec<Token>> {
    let mut query = tx.prepare(&format!("{SELECT} WHERE state = 'deleting' ORDER BY id"))?;
    query.query_and_then([], from_row)?.collect()
}

/// A token to be stored.
#[derive(Debug)]
pub(crate) struct NewToken<'a> {
    pub(crate) label: &'a str,
    pub(crate) wall: WallKind,
    pub(crate) so_pin_is_set: bool,
    pub(crate) pin_is_set: bool,
    pub(crate) nv_handle: Option<u32>,
    pub(crate) max_tries: Option<u32>,
    pub(crate) tries: Option<Tries>,
    pub(crate) chip: &'a Capabilities,
    pub(crate) parts: &'a Parts,
}

impl NewToken<'_> {
    /// Adds it under the serial number `serial`.
    pub(crate) fn insert(&self, tx: &Transaction<'_>, serial: &str) -> Result<TokenId> {
        self.put(tx, None, serial, 0)
    }

    /// Replaces `old`: takes over its number and serial number, ends its logins and deletes its
    /// objects. An error if another program has changed `old` in the meantime.
    pub(crate) fn replace(&self, tx: &Transaction<'_>, old: &Token) -> Result<TokenId> {
        let now = by_id(tx, old.id)?;
        if now.parts.token_key.private != old.parts.token_key.private {
            return Err(Error::Conflict);
        }
        tx.execute("DELETE FROM token WHERE id = ?", [old.id.0])?;
        self.put(tx, Some(old.id), &old.serial, now.pin_generation + 1)
    }

    fn put(
        &self,
        tx: &Transaction<'_>,
        id: Option<TokenId>,
        serial: &str,
        pin_generation: i64,
    ) -> Result<TokenId> {
        tx.execute(
            "INSERT INTO token (id, pin_generation, serial, label, created, state, wall, srk, token_public, \
             token_private, so_public, so_private, guard_public, guard_private, secret_public, \
             secret_private, so_pin_is_set, pin_is_set, nv_handle, \
             max_tries, salt, kdf_memory, kdf_passes, kdf_lanes, tries_left, tries_max, key_types, chip) \
             VALUES (:id, :pin_generation, :serial, :label, :created, 'ready', :wall, :srk, :token_public, \
             :token_private, :so_public, :so_private, :guard_public, :guard_private, :secret_public, \
             :secret_private, :so_pin_is_set, :pin_is_set, :nv_handle, \
             :max_tries, :salt, :memory, :passes, :lanes, :tries_left, :tries_max, :key_types, :chip)",
            named_params! {
                ":id": id.map(|id| id.0),
                ":pin_generation": pin_generation,
                ":serial": serial,
                ":label": self.label,
                ":created": now(),
                ":wall": self.wall.as_str(),
                ":srk": self.parts.srk.to_bytes(),
                ":token_public": self.parts.token_key.public,
                ":token_private": self.parts.token_key.private,
                ":so_public": self.parts.so.as_ref().map(|so| &so.public),
                ":so_private": self.parts.so.as_ref().map(|so| &so.private),
                ":guard_public": self.parts.guard.as_ref().map(|guard| &guard.public),
                ":guard_private": self.parts.guard.as_ref().map(|guard| &guard.private),
                ":secret_public": self.parts.secret.as_ref().map(|secret| &secret.public),
                ":secret_private": self.parts.secret.as_ref().map(|secret| &secret.private),
                ":so_pin_is_set": self.so_pin_is_set,
                ":pin_is_set": self.pin_is_set,
                ":nv_handle": self.nv_handle,
                ":max_tries": self.max_tries,
                ":salt": self.parts.kdf.salt,
                ":memory": self.parts.kdf.memory,
                ":passes": self.parts.kdf.passes,
                ":lanes": self.parts.kdf.lanes,
                ":tries_left": self.tries.map(|tries| tries.left),
                ":tries_max": self.tries.map(|tries| tries.max),
                ":key_types": key_type_list(&self.chip.key_types()),
                ":chip": self.chip.to_bytes(),
            },
        )?;
        Ok(TokenId(tx.last_insert_rowid()))
    }
}

/// Replaces `old` by `new` as the token key or SO object of a token. An error if another program
/// has replaced it in the meantime.
pub(crate) fn replace_private(
    tx: &Transaction<'_>,
    id: TokenId,
    role: Role,
    old: &Blob,
    new: &Blob,
) -> Result<()> {
    let column = match role {
        Role::User => "token",
        Role::So => "so",
    };
    let sql = format!(
        "UPDATE token SET {column}_public = :new_public, {column}_private = :new \
         WHERE id = :id AND state = 'ready' AND {column}_private = :old"
    );
    let changed = tx.execute(
        &sql,
        named_params! {
            ":id": id.0,
            ":old": old.private,
            ":new": new.private,
            ":new_public": new.public,
        },
    )?;
    if changed == 1 {
        Ok(())
    } else {
        Err(Error::Conflict)
    }
}

/// Stores the sealed secret of a token's change guard, or deletes it.
pub(crate) fn keep_secret(tx: &Transaction<'_>, id: TokenId, secret: Option<&Blob>) -> Result<()> {
    let sql = "UPDATE token SET secret_public = ?, secret_private = ? \
               WHERE id = ? AND state = 'ready'";
    let (public, private) = secret.map(|blob| (&blob.public, &blob.private)).unzip();
    one_row(id, tx.execute(sql, params![public, private, id.0])?)
}

/// Ends the logins of a token: [`crate::OpenToken::is_current`] is false for them.
pub(crate) fn end_logins(tx: &Transaction<'_>, id: TokenId) -> Result<()> {
    let sql = "UPDATE token SET pin_generation = pin_generation + 1 \
               WHERE id = ? AND state = 'ready'";
    one_row(id, tx.execute(sql, [id.0])?)
}

/// Stores whether there is a user PIN, with all tries left.
pub(crate) fn set_pin_is_set(tx: &Transaction<'_>, id: TokenId, is_set: bool) -> Result<()> {
    let sql = "UPDATE token SET pin_is_set = ?, tries_left = max_tries, tries_max = max_tries, \
               pin_generation = pin_generation + 1 WHERE id = ? AND state = 'ready'";
    one_row(id, tx.execute(sql, params![is_set, id.0])?)
}

/// Seconds since 1970; 0 on a machine whose clock is before that.
pub(crate) fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

/// A token from its row, checked.
///
/// # Errors
///
/// [`Error::Corrupt`], which names the token.
fn from_row(row: &Row<'_>) -> Result<Token> {
    let token = read(row).and_then(|token| check::parts(&token).map(|()| token));
    token.map_err(|err| err.of_token(&name_of(row)))
}

/// The label of the token in a row, or its serial number, if the row can be read so far.
fn name_of(row: &Row<'_>) -> String {
    let text = |column| row.get::<_, String>(column).ok();
    match text("label").filter(|label| check_label(label).is_ok()) {
        Some(label) => label,
        None => text("serial").unwrap_or_default(),
    }
}

fn read(row: &Row<'_>) -> Result<Token> {
    let wall: String = row.get("wall")?;
    let srk: Vec<u8> = row.get("srk")?;
    let salt: Vec<u8> = row.get("salt")?;
    let blob = |public, private| -> Result<Option<Blob>> {
        Ok(match (row.get(public)?, row.get(private)?) {
            (Some(public), Some(private)) => Some(Blob { public, private }),
            _ => None,
        })
    };
    let kdf = Kdf::from_stored(
        &salt,
        row.get("kdf_memory")?,
        row.get("kdf_passes")?,
        row.get("kdf_lanes")?,
    )?;
    let parts = Parts {
        srk: Srk::from_bytes(&srk)
            .map_err(|_| Error::corrupt("its storage root key was changed or cannot be read"))?,
        token_key: Blob {
            public: row.get("token_public")?,
            private: row.get("token_private")?,
        },
        so: blob("so_public", "so_private")?,
        guard: blob("guard_public", "guard_private")?,
        secret: blob("secret_public", "secret_private")?,
        kdf,
    };
    Ok(Token {
        id: TokenId(row.get("id")?),
        serial: row.get("serial")?,
        label: row.get("label")?,
        created: row.get("created")?,
        wall: wall
            .parse()
            .map_err(|_| Error::corrupt("a PIN wall is unknown"))?,
        pin_is_set: row.get("pin_is_set")?,
        so_pin_is_set: row.get("so_pin_is_set")?,
        tries: tries(row.get("tries_left")?, row.get("tries_max")?),
        so_tries: tries(row.get("so_tries_left")?, row.get("so_tries_max")?),
        nv_handle: row.get("nv_handle")?,
        max_tries: row.get("max_tries")?,
        key_types: key_types(&row.get::<_, String>("key_types")?),
        // If they cannot be parsed, the chip is asked again.
        chip: row
            .get::<_, Option<Vec<u8>>>("chip")?
            .and_then(|bytes| Capabilities::from_bytes(&bytes).ok()),
        has_keys: row.get("has_keys")?,
        pin_generation: row.get("pin_generation")?,
        parts,
    })
}

/// The types of key in a stored list, without those that this version does not know.
fn key_types(list: &str) -> Vec<KeyType> {
    list.split_whitespace()
        .filter_map(|name| name.parse().ok())
        .collect()
}

fn key_type_list(types: &[KeyType]) -> String {
    let names: Vec<_> = types.iter().map(|kind| kind.name()).collect();
    names.join(" ")
}

fn tries(left: Option<u32>, max: Option<u32>) -> Option<Tries> {
    Some(Tries {
        left: left?,
        max: max?,
    })
}

fn one_row(id: TokenId, changed: usize) -> Result<()> {
    if changed == 1 {
        Ok(())
    } else {
        Err(no_such(id))
    }
}

fn no_such(id: TokenId) -> Error {
    Error::NoSuchToken {
        name: format!("number {}", id.0),
    }
}
