//! A token after the security officer's login.

use std::{fmt, sync::Arc};

use tpm_core::{Blob, OpenSrk, OwnerAuth, PinAuth, Presence, SoAuth, SoObject, Tpm};

use super::{
    DEFAULT_TRIES, end_logins, keep_secret,
    parts::{self, TokenObjects, check_limit},
    replace_private, set_pin_is_set,
};
use crate::{Change, Error, Pin, Result, Role, SoPin, Store, Token, TokenId, pin::Kdf};

/// A token after the security officer's login. It sets PINs and repairs the PIN counter, and cannot
/// use the keys.
///
/// It holds the value derived from the SO PIN, wiped when dropped.
pub struct SoToken {
    tpm: Arc<Tpm>,
    id: TokenId,
    objects: TokenObjects,
    auth: SoAuth,
    kdf: Kdf,
    max_tries: u32,
}

impl SoToken {
    /// Logs in as the SO. A wrong SO PIN counts in the chip's lockout.
    ///
    /// # Errors
    ///
    /// [`Error::WrongPin`], [`Error::ChipLocked`], [`Error::NoSo`], [`Error::OtherTpm`], and
    /// those of the TPM.
    pub fn open(store: &Store, tpm: &Arc<Tpm>, token: &Token, so: &SoPin) -> Result<Self> {
        Self::log_in(store, tpm, token, so).map_err(|err| err.of_token(&token.label))
    }

    fn log_in(store: &Store, tpm: &Arc<Tpm>, token: &Token, so: &SoPin) -> Result<Self> {
        let objects = TokenObjects::of_this_machine(token)?;
        if !token.so_pin_is_set {
            return Err(Error::NoSo);
        }
        let auth = token.parts.kdf.so(so)?;
        let op = tpm.begin()?;
        prove(store, &objects.srk.open(&op)?, token, &objects, &auth)?;
        drop(op);
        Ok(Self {
            tpm: Arc::clone(tpm),
            id: token.id,
            objects,
            auth,
            kdf: token.parts.kdf.clone(),
            max_tries: token.max_tries.unwrap_or(DEFAULT_TRIES),
        })
    }

    /// The id of the token.
    #[must_use]
    pub fn token(&self) -> TokenId {
        self.id
    }

    /// Sets the user PIN without the old one, and unlocks it.
    ///
    /// # Errors
    ///
    /// [`Error::NoPin`] for a token without one; [`Error::CounterMissing`] if the counter needs
    /// [`SoToken::repair`]; errors of the TPM and of the store. The old PIN is valid then.
    /// [`Error::WrongLimit`] if the counter has another limit than was written; the new PIN is
    /// valid then. After [`Error::Unrecorded`] or [`Error::Unknown`], reset the PIN again to
    /// complete the change.
    pub fn reset_pin(&self, store: &mut Store, new: &Pin) -> Result<()> {
        let token = self.current(store)?;
        if !token.login_required() {
            return Err(Error::NoPin);
        }
        let auth = self.kdf.user(new)?;
        let op = self.tpm.begin()?;
        let so = self.objects.so()?;
        let srk = &self.objects.srk;
        let root = srk.open(&op)?;
        let Some(counter) = self.objects.counter() else {
            // Nothing changes in the chip: the old PIN is valid until the new blob is stored.
            let objects = TokenObjects::of(&token)?;
            let key = objects
                .key
                .reset_auth(&root, so, &self.auth, &auth)
                .map_err(|err| self.objects.so_refused(&op, err).error)?;
            return store.write(|tx| {
                replace_private(tx, self.id, Role::User, &token.parts.token_key, key.blob())?;
                set_pin_is_set(tx, self.id, true)
            });
        };
        if counter.presence(&op)? != Presence::Ready {
            srk.check(&op)?;
            return Err(Error::CounterMissing);
        }
        // Ends the logins before the chip has the new PIN. After a kill in between they have ended
        // without need, which does no harm.
        store.write(|tx| end_logins(tx, self.id))?;
        // Unlocks the counter first: after a kill in between, the old PIN works.
        counter
            .reset(&root, so, &self.auth, self.max_tries)
            .map_err(|err| self.objects.so_refused(&op, err).error)?;
        counter
            .set_auth(&root, so, &self.auth, &auth)
            .map_err(|err| Change::PinReset.failed(self.objects.so_refused(&op, err).error))?;
        // From here on the new PIN is valid, also if an error follows.
        check_limit(&root, counter, self.max_tries).map_err(|err| match err {
            err @ Error::WrongLimit { .. } => err,
            err => Change::PinReset.unnoted(err),
        })?;
        self.note_pin(store, &root, &token, &auth)
            .map_err(|err| Change::PinReset.unnoted(err))
    }

    /// Stores that there is a PIN with this value, and the sealed secret if it is missing.
    fn note_pin(
        &self,
        store: &Store,
        root: &OpenSrk<'_>,
        token: &Token,
        pin: &PinAuth,
    ) -> Result<()> {
        let secret = self.missing_secret(root, token, pin)?;
        store.write(|tx| {
            if let Some(secret) = &secret {
                keep_secret(tx, self.id, Some(secret))?;
            }
            set_pin_is_set(tx, self.id, true)
        })
    }

    /// The change guard's secret, sealed below the token key, if it is missing because the token
    /// was made again. `pin` is the user PIN's value.
    fn missing_secret(
        &self,
        root: &OpenSrk<'_>,
        token: &Token,
        pin: &PinAuth,
    ) -> Result<Option<Blob>> {
        if token.parts.secret.is_some() {
            return Ok(None);
        }
        // This login may hold the old objects of the token.
        let objects = TokenObjects::of(token)?;
        let secret = self.objects.so()?.secret(root, &self.auth)?;
        Ok(Some(objects.key.seal(root, pin, &secret)?))
    }

    /// Changes the SO PIN.
    ///
    /// With an old copy of the store, the old SO PIN still works, because the SO PIN is only in the
    /// store's blob and not in the chip.
    ///
    /// # Errors
    ///
    /// Those of the TPM and of the store; the old SO PIN is valid then.
    pub fn change_so_pin(&mut self, store: &mut Store, new: &SoPin) -> Result<()> {
        let auth = self.kdf.so(new)?;
        let old = self.objects.so()?;
        let op = self.tpm.begin()?;
        let so = old
            .change_auth(&self.objects.srk.open(&op)?, &self.auth, &auth)
            .map_err(|err| self.objects.so_refused(&op, err).error)?;
        store.write(|tx| replace_private(tx, self.id, Role::So, old.blob(), so.blob()))?;
        drop(op);
        self.objects.so = Some(so);
        self.auth = auth;
        Ok(())
    }

    /// Recreates the PIN counter after it was deleted or replaced, and sets the user PIN to `new`.
    /// The keys work again afterwards. `owner` is the owner hierarchy's authorization.
    ///
    /// # Errors
    ///
    /// [`Error::NoPin`] for a token without a counter, and those of the TPM and of the store.
    pub fn repair(&self, store: &mut Store, new: &Pin, owner: &OwnerAuth) -> Result<()> {
        let counter = self.objects.counter().ok_or(Error::NoPin)?;
        let auth = self.kdf.user(new)?;
        let op = self.tpm.begin()?;
        let srk = &self.objects.srk;
        srk.check(&op)?;
        let root = srk.open(&op)?;
        let presence = counter.presence(&op)?;
        if matches!(presence, Presence::Unwritten | Presence::Foreign) {
            // Another index is at its handle. The recreated counter will have the old Name.
            counter.undefine(&root, owner)?;
        }
        if presence != Presence::Ready {
            let so = self.objects.so()?;
            counter.define(&root, owner, so, &self.auth, &auth, self.max_tries)?;
        }
        drop(root);
        drop(op);
        self.reset_pin(store, new)
    }

    /// The token as it is now: another program may have changed it since the login.
    fn current(&self, store: &Store) -> Result<Token> {
        if store.is_read_only() {
            return Err(Error::ReadOnly);
        }
        store.token(self.id)
    }
}

impl fmt::Debug for SoToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SoToken")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// Proves the SO PIN's value, and returns the SO object that it opens.
pub(crate) fn prove<'a>(
    store: &Store,
    root: &OpenSrk<'_>,
    token: &Token,
    objects: &'a TokenObjects,
    auth: &SoAuth,
) -> Result<&'a SoObject> {
    let so = objects.so()?;
    match so.verify(root, auth) {
        Ok(()) => {
            // A right SO PIN does not lower the chip's count, but the count falls with time.
            if token.so_tries.is_some_and(|tries| tries.left < tries.max)
                && let Ok(tries) = parts::lockout_tries(root.op())
            {
                store.remember_tries(token.id, Role::So, tries);
            }
            Ok(so)
        }
        Err(err) => {
            let refusal = objects.so_refused(root.op(), err);
            if let Some(tries) = refusal.tries {
                store.remember_tries(token.id, Role::So, tries);
            }
            Err(refusal.error)
        }
    }
}
