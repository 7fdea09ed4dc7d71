//! Logins of the state: the persons who have proven a PIN to the token of a slot.

use std::sync::Arc;

use cryptoki_sys::*;
use token_store::{OpenToken, Pin, SoPin, SoToken, Store};

use super::{Login, Slot, State};
use crate::{
    error::{Error, Result},
    session::Session,
};

impl State {
    pub(crate) fn login(&mut self, slot: CK_SLOT_ID) -> Option<&mut Login> {
        self.slots.get_mut(&slot)?.login.as_mut()
    }

    /// Changes the login of a slot. Operations with private objects end with the login that allowed
    /// them. A first login ends nothing, as with SoftHSM (the standard leaves it open).
    pub(crate) fn set_login(&mut self, slot: CK_SLOT_ID, login: Option<Login>) {
        let Some(there) = self.slots.get_mut(&slot) else {
            return;
        };
        if std::mem::replace(&mut there.login, login).is_none() {
            return;
        }
        let sessions = self
            .sessions
            .values_mut()
            .filter(|session| session.slot == slot);
        sessions.for_each(Session::end_private);
    }

    /// Ends the logins whose PINs were changed since.
    pub(super) fn end_old_logins(&mut self) {
        let is_old = |slot: &Slot| match &slot.login {
            Some(Login::User(open)) => self
                .tokens
                .iter()
                .any(|token| token.id == open.token() && !open.is_current(token)),
            _ => false,
        };
        let old: Vec<_> = self
            .slots
            .iter()
            .filter(|(_, slot)| is_old(slot))
            .map(|(id, _)| *id)
            .collect();
        for slot in old {
            self.set_login(slot, None);
            self.session_objects
                .remove_if(|object| object.slot == slot && object.object.private);
        }
    }

    /// Whether the user is logged in, or needs no login.
    pub(crate) fn is_user(&mut self, slot: CK_SLOT_ID) -> bool {
        let free = self
            .token_in(slot)
            .is_ok_and(|t| t.is_some_and(|t| !t.login_required()));
        free || matches!(self.login(slot), Some(Login::User(_)))
    }

    /// The opened token of a slot.
    ///
    /// # Errors
    ///
    /// [`Error::NotLoggedIn`].
    pub(crate) fn open_token(&mut self, slot: CK_SLOT_ID) -> Result<Arc<OpenToken>> {
        // Before all else: this ends a login whose PIN another program has changed.
        let token = self.token(slot)?;
        if let Some(Login::User(open)) = self.login(slot) {
            return Ok(Arc::clone(open));
        }
        if token.login_required() {
            return Err(Error::NotLoggedIn);
        }
        let tpm = self.tpm()?;
        let open = Arc::new(OpenToken::open(self.store()?, &tpm, &token, None)?);
        if let Some(slot) = self.slots.get_mut(&slot) {
            slot.login = Some(Login::User(Arc::clone(&open)));
        }
        Ok(open)
    }

    /// Logs the user in with a PIN; a wrong one costs one try.
    pub(crate) fn login_user(&mut self, slot: CK_SLOT_ID, pin: &Pin) -> Result<()> {
        let token = self.token(slot)?;
        let tpm = self.tpm()?;
        let open = OpenToken::open(self.store()?, &tpm, &token, Some(pin))?;
        self.set_login(slot, Some(Login::User(Arc::new(open))));
        Ok(())
    }

    /// Logs the security officer in.
    pub(crate) fn login_so(&mut self, slot: CK_SLOT_ID, pin: &SoPin) -> Result<()> {
        let token = self.token(slot)?;
        let tpm = self.tpm()?;
        let open = SoToken::open(self.store()?, &tpm, &token, pin)?;
        self.set_login(slot, Some(Login::So(Box::new(open))));
        Ok(())
    }

    /// Store and SO of a slot together, for changes by the SO.
    ///
    /// # Errors
    ///
    /// [`Error::NotLoggedIn`].
    pub(crate) fn so_and_store(&mut self, slot: CK_SLOT_ID) -> Result<(&mut SoToken, &mut Store)> {
        self.refresh()?;
        let login = self
            .slots
            .get_mut(&slot)
            .and_then(|slot| slot.login.as_mut());
        match (login, self.store.as_mut()) {
            (Some(Login::So(so)), Some(store)) => Ok((&mut **so, store)),
            _ => Err(Error::NotLoggedIn),
        }
    }
}
