//! The state of the module: store, TPM, slots, logins and sessions, behind one lock.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use cryptoki_sys::*;
use token_store::{Config, OpenToken, Pin, SoPin, SoToken, Store, Token, TokenId};
use tpm_core::Tpm;

use crate::{
    error::{Error, Result},
    object::{Object, Objects, SessionObjects, attribute, template::Template},
    process::gate::Gate,
    session::Session,
};

mod slots;

/// The most sessions that are open at once.
const MAX_SESSIONS: usize = 10_000;

/// The module between `C_Initialize` and `C_Finalize`.
pub(crate) struct Module {
    state: Mutex<Option<State>>,
    /// What a fork closes while nobody is inside.
    gate: &'static Gate,
}

impl Module {
    /// Opens nothing yet: `C_Initialize` costs nothing.
    pub(crate) fn new(gate: &'static Gate) -> Self {
        Self {
            state: Mutex::new(Some(State::default())),
            gate,
        }
    }

    /// Runs `body` on the state.
    ///
    /// # Errors
    ///
    /// [`Error::NotInitialized`] where `C_Finalize` came in between.
    pub(crate) fn with<T>(&self, body: impl FnOnce(&mut State) -> Result<T>) -> Result<T> {
        let _inside = self.gate.enter();
        body(self.lock().as_mut().ok_or(Error::NotInitialized)?)
    }

    /// Ends everything.
    pub(crate) fn close(&self) {
        let _inside = self.gate.enter();
        drop(self.lock().take());
    }

    fn lock(&self) -> MutexGuard<'_, Option<State>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Who is logged in to a slot; all its sessions share that.
pub(crate) enum Login {
    User(Arc<OpenToken>),
    So(Box<SoToken>),
}

/// A slot: it holds a token, or is there to make one in.
#[derive(Default)]
struct Slot {
    token: Option<TokenId>,
    objects: Option<Arc<Objects>>,
    login: Option<Login>,
}

/// The state of the module.
#[derive(Default)]
pub(crate) struct State {
    config: Option<Config>,
    store: Option<Store>,
    /// The store's change counter when `tokens` was read.
    stamp: Option<u64>,
    tokens: Vec<Token>,
    tpm: Option<Arc<Tpm>>,
    slots: BTreeMap<CK_SLOT_ID, Slot>,
    sessions: BTreeMap<CK_SESSION_HANDLE, Session>,
    opened: CK_SESSION_HANDLE,
    pub(crate) session_objects: SessionObjects,
}

impl State {
    // Logins.

    pub(crate) fn login(&mut self, slot: CK_SLOT_ID) -> Option<&mut Login> {
        self.slots.get_mut(&slot)?.login.as_mut()
    }

    pub(crate) fn set_login(&mut self, slot: CK_SLOT_ID, login: Option<Login>) {
        if let Some(slot) = self.slots.get_mut(&slot) {
            slot.login = login;
        }
        let sessions = self
            .sessions
            .values_mut()
            .filter(|session| session.slot == slot);
        sessions.for_each(Session::end_private);
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
        if let Some(Login::User(open)) = self.login(slot) {
            return Ok(Arc::clone(open));
        }
        let token = self.token(slot)?;
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

    /// Store and SO of a slot together, for what the SO changes.
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

    // Sessions.

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

    // Objects.

    /// The objects of the token in a slot, hidden ones too.
    fn objects(&mut self, slot: CK_SLOT_ID) -> Result<Arc<Objects>> {
        if let Some(objects) = &self.slot(slot)?.objects {
            return Ok(Arc::clone(objects));
        }
        let token = self.token(slot)?;
        let login_required = token.login_required();
        let mut objects = Objects::new();
        for object in self.store()?.objects(token.id)? {
            let object = Object::stored(object, login_required)?;
            objects.insert(object.handle, Arc::new(object));
        }
        let objects = Arc::new(objects);
        self.slot(slot)?.objects = Some(Arc::clone(&objects));
        Ok(objects)
    }

    /// Reads the objects of a slot again when they are next asked for.
    pub(crate) fn forget_objects(&mut self, slot: CK_SLOT_ID) {
        if let Some(slot) = self.slots.get_mut(&slot) {
            slot.objects = None;
        }
        self.stamp = None;
    }

    /// An object that a session may see.
    ///
    /// # Errors
    ///
    /// [`Error::ObjectHandleInvalid`].
    pub(crate) fn object(
        &mut self,
        slot: CK_SLOT_ID,
        handle: CK_OBJECT_HANDLE,
    ) -> Result<Arc<Object>> {
        let user = self.is_user(slot);
        let object = match self.session_objects.get(slot, handle) {
            Some(object) => Some(Arc::clone(object)),
            None => self.objects(slot)?.get(&handle).cloned(),
        };
        object
            .filter(|object| user || !object.private)
            .ok_or(Error::ObjectHandleInvalid)
    }

    /// The handles of all objects that match and that the slot's sessions may see.
    pub(crate) fn search(
        &mut self,
        slot: CK_SLOT_ID,
        template: &Template,
    ) -> Result<Vec<CK_OBJECT_HANDLE>> {
        let user = self.is_user(slot);
        let stored = self.objects(slot)?;
        let all = stored.values().chain(self.session_objects.of_slot(slot));
        Ok(all
            .filter(|object| user || !object.private)
            .filter(|object| attribute::matches(object, template))
            .map(|object| object.handle)
            .collect())
    }
}
