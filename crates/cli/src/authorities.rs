//! Keys that sign certificates.

use std::sync::Arc;

use anyhow::Result;
use ssh_format::AnyKey;
use token_store::{ObjectId, Store, Token};

use crate::app::App;
use crate::error::Error;
use crate::output::escape;
use crate::{keys, ssh};

/// A certificate authority: a key of a token that was made one.
#[derive(Debug)]
pub(crate) struct Authority {
    pub(crate) token: Token,
    pub(crate) label: String,
    pub(crate) object: ObjectId,
    /// The key in the TPM.
    pub(crate) key: Arc<token_store::Key>,
    /// Its public half.
    pub(crate) public: AnyKey,
}

impl Authority {
    /// The line of its public key, for `TrustedUserCAKeys`.
    pub(crate) fn line(&self) -> String {
        self.public.line(&self.label)
    }
}

/// The authority called `name`, else the only one.
///
/// # Errors
///
/// If there is none, or several and none is named, or the key of that name is no authority.
pub(crate) fn find(app: &App, store: &Store, name: Option<&str>) -> Result<Authority> {
    let mut all = Vec::new();
    let mut keys = Vec::new();
    for token in app.some_tokens(store)? {
        all.extend(of_token(store, &token)?);
        keys.extend(keys::of_token(store, &token)?);
    }
    let Some(name) = name else {
        return match all.len() {
            0 => Err(Error::NoAuthority.into()),
            1 => Ok(all.remove(0)),
            _ => {
                let labels = all.into_iter().map(|it| it.label).collect();
                Err(Error::WhichAuthority { labels }.into())
            }
        };
    };
    let key = keys::find(keys, name)?;
    let label = escape(&key.label);
    all.into_iter()
        .find(|authority| authority.object == key.object)
        .ok_or_else(|| Error::NotAnAuthority { label }.into())
}

fn of_token(store: &Store, token: &Token) -> Result<Vec<Authority>> {
    let mut all = Vec::new();
    let authorities = store.authorities(token.id)?;
    for object in store.objects(token.id)? {
        let Some(key) = object.key().filter(|_| authorities.contains(&object.id)) else {
            continue;
        };
        all.push(Authority {
            token: token.clone(),
            label: object.label.clone(),
            object: object.id,
            key: Arc::clone(key),
            public: (&ssh::public_key(key.public())?).into(),
        });
    }
    Ok(all)
}
