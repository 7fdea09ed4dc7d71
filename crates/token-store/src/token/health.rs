//! Checking a token: does the chip still load all its objects?

use std::sync::Arc;

use tpm_core::Tpm;

use super::{Token, Tries, WallKind, parts::TokenObjects, pin_change::remember};
use crate::{Class, Error, OpenToken, Pin, Result, Store, object::RefusedKey};

/// The result of a check of a token whose own parts are right.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Health {
    /// How many wrong user PINs the chip still takes; `None` for a token without a PIN.
    pub tries: Option<Tries>,
    /// The limit of the PIN counter in the chip, if it differs from that of the token.
    pub wrong_limit: Option<u32>,
    /// The number of keys with the right attributes.
    pub keys: usize,
    /// Whether the chip loaded each of those, which needs the PIN of the token.
    pub keys_were_loaded: bool,
    /// The labels of those that the chip refused: they were changed, or belong to another token.
    pub spoilt: Vec<String>,
    /// The keys with other attributes, which are hidden.
    pub refused: Vec<RefusedKey>,
}

/// Checks a token. Spends no try, unless a wrong `pin` is given.
///
/// Loads the token key, the SO object and the change guard into the chip, and also the keys if the
/// token has no PIN or `pin` is given. Nothing stays loaded.
///
/// # Errors
///
/// Faults of the token itself: [`Error::Corrupt`], [`Error::OtherTpm`], [`Error::CounterMissing`];
/// with a `pin`, errors of [`OpenToken::open`]; errors of the TPM and of the store.
pub fn examine(store: &Store, tpm: &Arc<Tpm>, token: &Token, pin: Option<&Pin>) -> Result<Health> {
    look(store, tpm, token, pin).map_err(|err| err.of_token(&token.label))
}

fn look(store: &Store, tpm: &Arc<Tpm>, token: &Token, pin: Option<&Pin>) -> Result<Health> {
    let objects = TokenObjects::of_this_machine(token)?;
    let op = tpm.begin()?;
    objects.srk.check(&op)?;
    let root = objects.srk.open(&op)?;
    objects.key.check(&root)?;
    if let Some(so) = &objects.so {
        so.check(&root)?;
    }
    if let Some(guard) = &objects.guard {
        guard.check(&root)?;
    }
    let tries = objects.tries(&root)?;
    drop(root);
    drop(op);
    remember(store, token, tries);

    let keys: Vec<_> = store
        .objects(token.id)?
        .into_iter()
        .filter(|object| object.class() == Class::PrivateKey)
        .collect();
    let mut health = Health {
        tries,
        wrong_limit: tries
            .map(|tries| tries.max)
            .filter(|limit| token.max_tries.is_some_and(|wanted| wanted != *limit)),
        keys: keys.len(),
        keys_were_loaded: token.wall == WallKind::None || pin.is_some(),
        spoilt: Vec::new(),
        refused: store.refused(token.id)?,
    };
    if health.keys_were_loaded {
        let open = OpenToken::open(store, tpm, token, pin)?;
        for object in &keys {
            match object.key().map(|key| open.load(key)) {
                Some(Err(Error::Corrupt { .. })) => health.spoilt.push(object.label.clone()),
                Some(Err(err)) => return Err(err),
                Some(Ok(())) | None => {}
            }
        }
        // The right PIN has set the count of wrong ones back.
        let op = tpm.begin()?;
        health.tries = objects.tries(&objects.srk.open(&op)?)?;
    }
    Ok(health)
}
