//! The login: one proof of the PIN, and what it changes.

use std::sync::{Arc, Mutex};

use tpm_core::{Login, OpenSrk, PinAuth, ReadyKey, Tpm};

use super::{OpenToken, TokenObjects};
use crate::{
    Error, Key, Pin, Result, Role, Store, Token, Tries, WallKind, token::parts::lockout_tries,
};

impl OpenToken {
    /// Logs in. A wrong PIN costs one try. The token's first key is loaded with the same proof, so
    /// that a first signature is cheap.
    ///
    /// Stores the tries left, if the store can be written.
    ///
    /// # Errors
    ///
    /// [`Error::WrongPin`] with the tries left, [`Error::PinLocked`], [`Error::ChipLocked`],
    /// [`Error::PinNotSet`], [`Error::PinRequired`], [`Error::NoPin`] if a PIN is given for a token
    /// without one, [`Error::OtherTpm`], [`Error::CounterMissing`]; errors of the TPM and of the
    /// store.
    pub fn open(store: &Store, tpm: &Arc<Tpm>, token: &Token, pin: Option<&Pin>) -> Result<Self> {
        Self::log_in(store, tpm, token, pin).map_err(|err| err.of_token(&token.label))
    }

    fn log_in(store: &Store, tpm: &Arc<Tpm>, token: &Token, pin: Option<&Pin>) -> Result<Self> {
        let objects = TokenObjects::of_this_machine(token)?;
        let pin = pin_to_prove(token, pin)?;
        // The number in `token` may be outdated.
        let pin_generation = store.token(token.id)?.pin_generation;
        let first = store.first_key(token.id)?;
        let op = tpm.begin()?;
        let root = objects.srk.open(&op)?;
        let (login, auth) = match pin {
            // To derive the PIN's value takes less time than the chip needs to start a session.
            Some(pin) => {
                let (login, auth) = root.begin_login(|| token.parts.kdf.user(pin))?;
                (Some(login), auth?)
            }
            None => (None, PinAuth::empty()),
        };
        let ready = prove(login, &root, &objects, &auth, first.as_deref());
        let ready = report(store, &root, token, &objects, ready)?;
        drop(root);
        drop(op);
        let ready = ready.map(|key| (key.name().clone(), Arc::new(key)));
        Ok(Self {
            tpm: Arc::clone(tpm),
            id: token.id,
            label: token.label.clone(),
            pin_generation,
            objects,
            chip: Mutex::new(token.chip.clone()),
            kdf: token.parts.kdf.clone(),
            auth: Mutex::new(Some(auth)),
            ready: Mutex::new(ready.into_iter().collect()),
        })
    }

    /// Proves the PIN again, for keys that ask for it at each use. A wrong one costs one try.
    ///
    /// # Errors
    ///
    /// As [`OpenToken::open`].
    pub fn verify(&self, store: &Store, pin: &Pin) -> Result<()> {
        let token = store.token(self.id)?;
        if !token.login_required() {
            return Err(Error::NoPin);
        }
        let auth = self.kdf.user(pin)?;
        let op = self.tpm.begin()?;
        let root = self.objects.srk.open(&op)?;
        let proven = self.objects.key.verify(&root, &auth);
        report(store, &root, &token, &self.objects, proven)
    }
}

/// The PIN to prove to `token`: `None` if the token has none. No try is spent.
fn pin_to_prove<'a>(token: &Token, pin: Option<&'a Pin>) -> Result<Option<&'a Pin>> {
    match (token.login_required(), pin) {
        (false, None) => Ok(None),
        (false, Some(_)) => Err(Error::NoPin),
        (true, _) if !token.pin_is_set => Err(Error::PinNotSet),
        (true, None) => Err(Error::PinRequired),
        (true, Some(pin)) => Ok(Some(pin)),
    }
}

/// The value that opens `token`; no try is spent.
pub(crate) fn derived(token: &Token, pin: Option<&Pin>) -> Result<PinAuth> {
    match pin_to_prove(token, pin)? {
        Some(pin) => token.parts.kdf.user(pin),
        None => Ok(PinAuth::empty()),
    }
}

/// Proves the PIN's value and loads `first` with the same proof, in the session of `login` if there
/// is one.
fn prove<'op>(
    login: Option<Login<'op>>,
    root: &OpenSrk<'op>,
    objects: &'op TokenObjects,
    auth: &'op PinAuth,
    first: Option<&Key>,
) -> tpm_core::Result<Option<ReadyKey>> {
    let blob = first.map(Key::blob);
    let opened = match login {
        Some(login) => objects.key.open_in(login, root, auth, blob),
        None => objects.key.open(root, auth, blob),
    };
    match opened {
        // The first key is damaged. The owner can still use the others.
        Err(err) if first.is_some() && err.is_spoilt_blob() => objects.key.open(root, auth, None),
        result => result,
    }
}

/// The result of one try. Stores its effect on the tries left.
pub(crate) fn report<T>(
    store: &Store,
    root: &OpenSrk<'_>,
    token: &Token,
    objects: &TokenObjects,
    outcome: tpm_core::Result<T>,
) -> Result<T> {
    let (result, tries) = match outcome {
        // A right PIN sets the token's counter to 0.
        Ok(value) => {
            let tries = match (token.wall, token.max_tries, token.tries) {
                (WallKind::Counter, Some(max), _) => Some(Tries { left: max, max }),
                // A right PIN does not change the count of the chip's lockout, but the count falls
                // with time.
                (WallKind::Lockout, _, Some(known)) if known.left < known.max => {
                    lockout_tries(root.op()).ok()
                }
                _ => None,
            };
            (Ok(value), tries)
        }
        Err(err) => {
            let refusal = objects.user_refused(root, err);
            (Err(refusal.error), refusal.tries)
        }
    };
    if let Some(tries) = tries {
        store.remember_tries(token.id, Role::User, tries);
    }
    result
}
