//! Store, TPM and slots of the state, read again after each change of the store.

use std::{collections::BTreeMap, sync::Arc};

use cryptoki_sys::*;
use token_store::{Config, Store, StoreDir, Token, TokenId, WallKind};
use tpm_core::Tpm;

use super::{Slot, State};
use crate::error::{Error, Result};

impl State {
    /// Looks at the store again if it has changed, and gives each new token a slot.
    pub(crate) fn refresh(&mut self) -> Result<()> {
        if self.store.is_none() {
            match StoreDir::for_user().and_then(|dir| Store::open(&dir)) {
                Ok(store) => self.store = Some(store),
                Err(token_store::Error::NoStore { .. } | token_store::Error::NoHome) => {}
                Err(err) => return Err(err.into()),
            }
        }
        let stamp = match &self.store {
            None => None,
            Some(store) => match store.change_counter() {
                Ok(stamp) => Some(stamp),
                Err(token_store::Error::Replaced) => {
                    self.store = None;
                    self.stamp = None;
                    return self.refresh();
                }
                Err(err) => return Err(err.into()),
            },
        };
        if stamp != self.stamp || self.slots.is_empty() {
            self.read_tokens()?;
            self.stamp = stamp;
        }
        Ok(())
    }

    fn read_tokens(&mut self) -> Result<()> {
        let wanted = self.wanted_token();
        let mut tokens = match &self.store {
            Some(store) => store.tokens()?,
            None => Vec::new(),
        };
        tokens.retain(|token| {
            wanted
                .as_ref()
                .is_none_or(|wanted| *wanted == token.label || *wanted == token.serial)
        });
        // OpenSSH asks for the PIN of the first token if it has no keys.
        tokens.sort_by_key(|token| !token.has_keys);
        self.tokens = tokens;
        let known = |slots: &BTreeMap<_, Slot>, id| slots.values().any(|s| s.token == Some(id));
        for token in &self.tokens {
            if known(&self.slots, token.id) {
                continue;
            }
            let empty = self.slots.iter().find(|(_, slot)| slot.token.is_none());
            let id = empty.map_or(self.slots.len() as CK_SLOT_ID, |(id, _)| *id);
            self.slots.insert(
                id,
                Slot {
                    token: Some(token.id),
                    ..Slot::default()
                },
            );
        }
        self.end_old_logins();
        for slot in self.slots.values_mut() {
            slot.objects = None;
            let gone = slot
                .token
                .is_some_and(|id| self.tokens.iter().all(|t| t.id != id));
            if gone {
                *slot = Slot::default();
            }
        }
        if self.slots.values().all(|slot| slot.token.is_some()) {
            self.slots
                .insert(self.slots.len() as CK_SLOT_ID, Slot::default());
        }
        Ok(())
    }

    /// The only token to show: `TPMSSH_TOKEN`, otherwise the one in the configuration file.
    fn wanted_token(&mut self) -> Option<String> {
        self.config().ok().and_then(|config| config.shown_token())
    }

    /// The PIN wall that the configuration names for new tokens.
    pub(crate) fn pin_wall(&mut self) -> Result<Option<WallKind>> {
        Ok(self.config()?.pin_wall)
    }

    pub(super) fn config(&mut self) -> Result<&Config> {
        if self.config.is_none() {
            self.config = Some(Config::load()?);
        }
        self.config.as_ref().ok_or(Error::Internal)
    }

    /// The slots in the order in which callers should look at them.
    ///
    /// While there is no token, the slot for a new token counts as one with a token. Otherwise a
    /// client that asks only for those could not make the first token. Later this slot is left out:
    /// a client that takes the last slot, or shows all, would meet a token that it cannot use.
    pub(crate) fn slot_list(&mut self, with_token: bool) -> Result<Vec<CK_SLOT_ID>> {
        self.refresh()?;
        let for_new = !with_token || self.awaits_first_token();
        let slot_of = |token: &Token| {
            self.slots
                .iter()
                .find(|(_, slot)| slot.token == Some(token.id))
                .map(|(id, _)| *id)
        };
        let mut list: Vec<_> = self.tokens.iter().filter_map(slot_of).collect();
        if for_new {
            let empty = self.slots.iter().filter(|(_, slot)| slot.token.is_none());
            list.extend(empty.map(|(id, _)| *id));
        }
        Ok(list)
    }

    /// Whether the first token can be made here: none is hidden, the store can be written to,
    /// and the machine has a TPM. Nothing is sent to it.
    fn awaits_first_token(&mut self) -> bool {
        self.tokens.is_empty()
            && self.wanted_token().is_none()
            && !self.store.as_ref().is_some_and(Store::is_read_only)
            && self.tpm().is_ok()
    }

    pub(super) fn slot(&mut self, id: CK_SLOT_ID) -> Result<&mut Slot> {
        self.refresh()?;
        self.slots.get_mut(&id).ok_or(Error::SlotIdInvalid)
    }

    /// The token of a slot; `None` for the slot for a new token.
    ///
    /// # Errors
    ///
    /// [`Error::SlotIdInvalid`].
    pub(crate) fn token_in(&mut self, slot: CK_SLOT_ID) -> Result<Option<&Token>> {
        let id = self.slot(slot)?.token;
        Ok(id.and_then(|id| self.tokens.iter().find(|token| token.id == id)))
    }

    /// The token of a slot that must have one.
    ///
    /// # Errors
    ///
    /// [`Error::TokenNotRecognized`].
    pub(crate) fn token(&mut self, slot: CK_SLOT_ID) -> Result<Token> {
        self.token_in(slot)?
            .cloned()
            .ok_or(Error::TokenNotRecognized)
    }

    /// Puts the token that was just made into its slot.
    pub(crate) fn place_token(&mut self, slot: CK_SLOT_ID, token: TokenId) -> Result<()> {
        self.slots.insert(
            slot,
            Slot {
                token: Some(token),
                ..Slot::default()
            },
        );
        self.stamp = None;
        self.refresh()
    }

    /// The store, for reading.
    pub(crate) fn store(&mut self) -> Result<&Store> {
        self.refresh()?;
        self.store.as_ref().ok_or(Error::TokenNotPresent)
    }

    /// The store, for writing. The cached tokens and objects are read again afterwards.
    pub(crate) fn store_mut(&mut self) -> Result<&mut Store> {
        self.refresh()?;
        self.store.as_mut().ok_or(Error::TokenNotPresent)
    }

    /// The store; makes one if there is none.
    pub(crate) fn make_store(&mut self) -> Result<&mut Store> {
        if self.store.is_none() {
            self.store = Some(Store::open_or_create(&StoreDir::for_user()?)?);
        }
        self.store.as_mut().ok_or(Error::Internal)
    }

    /// The TPM; nothing is sent to it here.
    pub(crate) fn tpm(&mut self) -> Result<Arc<Tpm>> {
        if let Some(tpm) = &self.tpm {
            return Ok(Arc::clone(tpm));
        }
        let choice = self.config()?.tcti(None)?;
        let tpm = Arc::new(Tpm::new(choice.tcti).sharing());
        self.tpm = Some(Arc::clone(&tpm));
        Ok(tpm)
    }
}
