//! The state of the module: store, TPM, slots, logins and sessions, behind one lock.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use cryptoki_sys::*;
use token_store::{Config, OpenToken, SoToken, Store, Token, TokenId};
use tpm_core::Tpm;

use crate::{
    error::{Error, Result},
    object::{Objects, SessionObjects},
    process::gate::Gate,
    session::Session,
};

mod logins;
mod objects;
mod sessions;
mod slots;

/// The module between `C_Initialize` and `C_Finalize`.
pub(crate) struct Module {
    state: Mutex<Option<State>>,
    /// The gate that a fork closes while no thread is inside.
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
    /// [`Error::NotInitialized`] if `C_Finalize` came in between.
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

/// The login of a slot, which all its sessions share.
pub(crate) enum Login {
    User(Arc<OpenToken>),
    So(Box<SoToken>),
}

/// A slot: it holds a token, or is the place for a new one.
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
