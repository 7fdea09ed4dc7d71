//! Sessions of the state.

use cryptoki_sys::*;

use super::{Login, State};
use crate::{
    error::{Error, Result},
    session::Session,
};

/// The most sessions that are open at once.
const MAX_SESSIONS: usize = 10_000;

impl State {
    pub(crate) fn open_session(&mut self, slot: CK_SLOT_ID, rw: bool) -> Result<CK_SESSION_HANDLE> {
        self.token(slot)?;
        if self.sessions.len() >= MAX_SESSIONS {
            return Err(Error::SessionCount);
        }
        if !rw && matches!(self.login(slot), Some(Login::So(_))) {
            return Err(Error::SessionReadWriteSoExists);
        }
        self.opened += 1;
        self.sessions.insert(self.opened, Session::new(slot, rw));
        Ok(self.opened)
    }

    pub(crate) fn session(&mut self, handle: CK_SESSION_HANDLE) -> Result<&mut Session> {
        self.sessions
            .get_mut(&handle)
            .ok_or(Error::SessionHandleInvalid)
    }

    pub(crate) fn sessions_of(&self, slot: CK_SLOT_ID) -> impl Iterator<Item = &Session> {
        self.sessions
            .values()
            .filter(move |session| session.slot == slot)
    }

    pub(crate) fn close_session(&mut self, handle: CK_SESSION_HANDLE) -> Result<()> {
        let session = self
            .sessions
            .remove(&handle)
            .ok_or(Error::SessionHandleInvalid)?;
        self.session_objects
            .remove_if(|object| object.session == handle);
        if self.sessions_of(session.slot).next().is_none() {
            self.set_login(session.slot, None);
        }
        Ok(())
    }

    pub(crate) fn close_all_sessions(&mut self, slot: CK_SLOT_ID) -> Result<()> {
        self.slot(slot)?;
        self.sessions.retain(|_, session| session.slot != slot);
        self.session_objects.remove_if(|object| object.slot == slot);
        self.set_login(slot, None);
        Ok(())
    }
}
