//! Making a token again under the same serial number.

use rusqlite::{Transaction, params};
use tpm_core::{Blob, OpenSrk, OwnerAuth, PinAuth, SoAuth, SoObject, TokenKey, Tpm, Wall};

use super::{
    DEFAULT_TRIES, InitOptions, NoCounter, Token, by_id,
    init::{self, Secrets},
    intent,
    parts::{TokenObjects, check_limit},
    row, so_token,
};
use crate::{Error, Pin, Result, Role, SoPin, Store};

/// The options of a token that is made again.
#[derive(Debug)]
pub struct Renewal<'a> {
    /// Its label; 1 to 32 bytes.
    pub label: &'a str,
    /// At how many wrong PINs a PIN counter locks; `None` for the same number as before.
    pub max_tries: Option<u32>,
    /// The SO PIN, which stays.
    pub so: &'a SoPin,
    /// The new user PIN; without one the SO sets it later.
    pub pin: Option<&'a Pin>,
}

/// Makes a token again. The SO proves the SO PIN. All objects and the old user PIN are lost. Serial
/// number, SO PIN and wall stay.
///
/// A token with a PIN counter gets a new counter, SO object and token key, and the old counter is
/// removed. So an old copy of the store opens with no PIN, neither the old one nor the new one.
/// This needs `owner`, the owner hierarchy's authorization. With the other walls an old copy still
/// opens with the old PIN, because the chip holds nothing that could be removed.
///
/// # Errors
///
/// [`Error::WrongPin`], [`Error::NoSo`], [`Error::OtherTpm`], and errors of [`init`](super::init).
/// The token is then unchanged. [`Error::OldCounterLeft`] if the old counter could not be removed;
/// the token is new then.
pub fn renew(
    store: &mut Store,
    tpm: &Tpm,
    token: &Token,
    renewal: &Renewal<'_>,
    owner: &OwnerAuth,
) -> Result<Token> {
    let options = options(token, renewal);
    init::check(&options, renewal.pin)?;
    let anew = Anew::begin(store, token, renewal)?;
    let op = tpm.begin()?;
    let root = anew.objects.srk.open(&op)?;
    anew.prove(store, &root, token)?;
    let renewed = anew.make(store, &root, token, &options, owner)?;
    anew.remove_old(store, &root, owner)?;
    Ok(renewed)
}

/// Makes a token again for `C_InitToken`, which has no parameter for the owner hierarchy's
/// authorization.
///
/// This is [`renew`] if that authorization is empty and the chip has room for another counter. If
/// not, the PIN counter and the SO object stay, and an old copy of the store then opens with the
/// *new* PIN.
///
/// # Errors
///
/// As for [`renew`], but an old counter that could not be removed is only logged.
pub fn reinit(
    store: &mut Store,
    tpm: &Tpm,
    token: &Token,
    label: &str,
    so: &SoPin,
) -> Result<Token> {
    let renewal = Renewal {
        label,
        max_tries: None,
        so,
        pin: None,
    };
    let owner = OwnerAuth::empty();
    let options = options(token, &renewal);
    init::check(&options, None)?;
    let anew = Anew::begin(store, token, &renewal)?;
    let op = tpm.begin()?;
    let root = anew.objects.srk.open(&op)?;
    anew.prove(store, &root, token)?;
    match anew.make(store, &root, token, &options, &owner) {
        Ok(renewed) => {
            if let Err(err) = anew.remove_old(store, &root, &owner) {
                log::warn!("{err}");
            }
            Ok(renewed)
        }
        Err(err) if NoCounter::from_failure(&err, &owner).is_some() => {
            anew.make_in_place(store, &root, token, label)
        }
        Err(err) => Err(err),
    }
}

fn options(token: &Token, renewal: &Renewal<'_>) -> InitOptions {
    InitOptions {
        label: renewal.label.to_owned(),
        wall: Some(token.wall),
        max_tries: renewal
            .max_tries
            .or(token.max_tries)
            .unwrap_or(DEFAULT_TRIES),
    }
}

/// A token that is being made again: its old objects and its new secrets.
struct Anew {
    objects: TokenObjects,
    so_auth: SoAuth,
    secrets: Secrets,
}

impl Anew {
    /// Derives the secrets, which takes time, before the operation with the chip begins.
    fn begin(store: &Store, token: &Token, renewal: &Renewal<'_>) -> Result<Self> {
        if store.is_read_only() {
            return Err(Error::ReadOnly);
        }
        if !token.so_pin_is_set {
            return Err(Error::NoSo);
        }
        Ok(Self {
            objects: TokenObjects::of_this_machine(token)?,
            so_auth: token.parts.kdf.so(renewal.so)?,
            secrets: Secrets::new(Some(renewal.so), renewal.pin)?,
        })
    }

    /// Proves the SO PIN, and returns the SO object that it opens.
    fn prove(&self, store: &Store, root: &OpenSrk<'_>, token: &Token) -> Result<&SoObject> {
        so_token::prove(store, root, token, &self.objects, &self.so_auth)
    }

    /// Makes the new token and stores it in place of the old one, with a note of the old counter.
    /// After a kill in between, one of the two counters is left over, and it is noted.
    fn make(
        &self,
        store: &Store,
        root: &OpenSrk<'_>,
        token: &Token,
        options: &InitOptions,
        owner: &OwnerAuth,
    ) -> Result<Token> {
        let _making = init::begin_making(store, root, owner)?;
        init::make(store, root, options, &self.secrets, owner, Some(token)).map(|made| made.0)
    }

    /// Removes the old counter.
    fn remove_old(&self, store: &Store, root: &OpenSrk<'_>, owner: &OwnerAuth) -> Result<()> {
        let Some(counter) = self.objects.counter() else {
            return Ok(());
        };
        let handle = counter.handle();
        let so = self.objects.so()?.name();
        intent::remove_counter(root, counter, owner)
            .and_then(|()| store.write(|tx| intent::strike_out(tx, handle, so)))
            .map_err(|err| Error::OldCounterLeft {
                handle,
                source: Box::new(err),
            })
    }

    /// Gives the token a new token key and keeps its counter and SO object.
    fn make_in_place(
        &self,
        store: &Store,
        root: &OpenSrk<'_>,
        token: &Token,
        label: &str,
    ) -> Result<Token> {
        let objects = &self.objects;
        let key = match objects.key.wall() {
            Wall::Counter(counter) => TokenKey::behind_counter(root, counter.clone()),
            Wall::Lockout { .. } => {
                TokenKey::behind_lockout(root, objects.so()?, &PinAuth::random())
            }
            Wall::None => TokenKey::without_pin(root),
        }?;
        // The store changes first: after a kill here the token is new and has no user PIN yet. In
        // the other order, a kill could leave keys without a valid PIN.
        let renewed = store.write(|tx| empty(tx, token, label, key.blob()))?;
        if let Some(counter) = objects.counter() {
            let so = objects.so()?;
            let closed = counter.set_auth(root, so, &self.so_auth, &PinAuth::random());
            let limit = token.max_tries.unwrap_or(DEFAULT_TRIES);
            let reset = closed
                .and_then(|()| counter.reset(root, so, &self.so_auth, limit))
                .map_err(Error::from)
                .and_then(|()| check_limit(root, counter, limit));
            if let Err(err) = reset {
                // Until the new PIN is set, the old one opens a token without keys.
                log::warn!("the PIN counter was not reset: {err}");
            }
        }
        Ok(renewed)
    }
}

/// Deletes all objects of a token, and gives it another label and token key.
fn empty(tx: &Transaction<'_>, token: &Token, label: &str, key: &Blob) -> Result<Token> {
    row::replace_private(tx, token.id, Role::User, &token.parts.token_key, key)?;
    tx.execute("DELETE FROM key WHERE token = ?", [token.id.0])?;
    tx.execute("DELETE FROM object WHERE token = ?", [token.id.0])?;
    // The arrival key is below the old token key.
    tx.execute("DELETE FROM arrival WHERE token = ?", [token.id.0])?;
    tx.execute(
        "UPDATE token SET label = ? WHERE id = ?",
        params![label, token.id.0],
    )?;
    row::set_pin_is_set(tx, token.id, false)?;
    row::keep_secret(tx, token.id, None)?;
    by_id(tx, token.id)
}
