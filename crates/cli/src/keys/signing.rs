//! Keys whose private halves are in the TPM.

use std::sync::Arc;

use anyhow::{Context, Result};
use ssh_format::text::shown;
use ssh_format::{AnyKey, Signature};
use token_store::{Class, ObjectId, OpenToken, Store, Token};

use crate::app::App;
use crate::ask::token_pin::read_pin;
use crate::fail::error::Error;
use crate::keys::{self, Key};
use crate::options::UserPinArgs;

/// A key pair of a token.
#[derive(Debug, Clone)]
pub(crate) struct SigningKey {
    pub(crate) token: Token,
    pub(crate) label: String,
    /// The private half.
    pub(crate) object: ObjectId,
    /// The key in the TPM.
    pub(crate) key: Arc<token_store::Key>,
    /// Its public half.
    pub(crate) public: AnyKey,
    /// As it is shown, and found by name.
    pub(crate) shown: Key,
}

impl SigningKey {
    /// The line of its public key.
    pub(crate) fn line(&self) -> String {
        self.public.line(&self.label)
    }

    /// Signs `data`, with the PIN from `pin`.
    ///
    /// # Errors
    ///
    /// Those of the PIN, of the TPM and of the store.
    pub(crate) fn sign(
        &self,
        app: &App,
        store: &Store,
        pin: &UserPinArgs,
        data: &[u8],
    ) -> Result<Signature> {
        let pin = read_pin(app, store, &self.token, pin)?;
        let open = OpenToken::open(store, &app.tpm()?, &self.token, pin.as_ref())?;
        ssh_keys::sign(&open, &self.key, data).context("cannot sign")
    }
}

/// The key pairs of the tokens that are meant.
///
/// # Errors
///
/// Whatever is wrong with the store.
pub(crate) fn all(app: &App, store: &Store) -> Result<Vec<SigningKey>> {
    let mut all = Vec::new();
    for token in app.some_tokens(store)? {
        for object in store.objects(token.id)? {
            let private = object.class() == Class::PrivateKey;
            let (Some(key), Some(shown)) = (object.key(), Key::of(&token, &object)?) else {
                continue;
            };
            if private {
                all.push(SigningKey {
                    token: token.clone(),
                    label: object.label.clone(),
                    object: object.id,
                    key: Arc::clone(key),
                    public: (&ssh_keys::public_key(key.public())?).into(),
                    shown,
                });
            }
        }
    }
    Ok(all)
}

/// The key for a login that is called `name`, or the only one. The key of an authority does not count,
/// because the agent does not offer it to servers.
///
/// # Errors
///
/// If there is none, or several and no name, if it is the key of an authority, or not for signing.
pub(crate) fn login_key(app: &App, store: &Store, name: Option<&str>) -> Result<SigningKey> {
    let mut keys = all(app, store)?;
    keys.retain(|key| name.is_some() || ssh_keys::can_sign(&key.key));
    let mut authorities = Vec::new();
    for token in app.some_tokens(store)? {
        authorities.extend(store.authorities(token.id)?);
    }
    if name.is_none() {
        keys.retain(|key| !authorities.contains(&key.object));
    }
    let key = find(keys, name)?;
    if authorities.contains(&key.object) {
        let label = shown(&key.label);
        return Err(Error::Usage(format!(
            "\"{label}\" is the key of an authority, and no login"
        ))
        .into());
    }
    if !ssh_keys::can_sign(&key.key) {
        let label = shown(&key.label);
        return Err(Error::Usage(format!("\"{label}\" is not for signing, and no login")).into());
    }
    Ok(key)
}

/// The key called `name`, else the only one.
///
/// # Errors
///
/// If there is none, or several and none is named.
pub(crate) fn find(mut all: Vec<SigningKey>, name: Option<&str>) -> Result<SigningKey> {
    // One that is named fails with the reason when it is used.
    all.retain(|key| name.is_some() || ssh_keys::can_sign(&key.key));
    let shown: Vec<Key> = all.iter().map(|it| it.shown.clone()).collect();
    let found = match (name, shown.as_slice()) {
        (Some(name), _) => keys::find(shown, name)?,
        (None, []) => return Err(Error::NoKey.into()),
        (None, [one]) => one.clone(),
        (None, several) => {
            let labels = several.iter().map(|key| key.label.clone()).collect();
            return Err(Error::WhichKey {
                labels,
                hint: "say which one with --key LABEL",
            }
            .into());
        }
    };
    let key = all.into_iter().find(|it| it.object == found.object);
    key.ok_or_else(|| Error::NoKey.into())
}
