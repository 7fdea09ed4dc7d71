//! Objects of the state: those of the tokens, and those of sessions.

use std::sync::Arc;

use cryptoki_sys::*;

use super::State;
use crate::{
    error::{Error, Result},
    object::{Object, Objects, attribute, template::Template},
};

impl State {
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

    /// Makes the next access to the objects of a slot read them again.
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

    /// Begins a use of the key `key` in a session: `make` gets the key and returns the operation.
    ///
    /// Looks the key up once. All functions that use a key call this, so none of them can forget to
    /// check the permissions.
    ///
    /// # Errors
    ///
    /// [`Error::KeyHandleInvalid`] if it is not a key; those of `make`;
    /// [`Error::KeyFunctionNotPermitted`] if the attribute `flag` of the key is false;
    /// [`Error::MechanismInvalid`] if its `CKA_ALLOWED_MECHANISMS` do not list the mechanism.
    pub(crate) fn use_key<T>(
        &mut self,
        session: CK_SESSION_HANDLE,
        key: CK_OBJECT_HANDLE,
        (flag, mechanism): (CK_ATTRIBUTE_TYPE, CK_MECHANISM_TYPE),
        make: impl FnOnce(&Object) -> Result<T>,
    ) -> Result<T> {
        let object = self.key_object(session, key)?;
        let made = make(&object)?;
        if !attribute::flag(&object, flag) {
            return Err(Error::KeyFunctionNotPermitted);
        }
        if !attribute::allows(&object, mechanism) {
            return Err(Error::MechanismInvalid);
        }
        Ok(made)
    }

    /// An object that is a key of some kind.
    fn key_object(
        &mut self,
        session: CK_SESSION_HANDLE,
        key: CK_OBJECT_HANDLE,
    ) -> Result<Arc<Object>> {
        let slot = self.session(session)?.slot;
        let object = self.object(slot, key).map_err(|err| match err {
            Error::ObjectHandleInvalid => Error::KeyHandleInvalid,
            err => err,
        })?;
        if object.public_key().is_none() {
            return Err(Error::KeyHandleInvalid);
        }
        Ok(object)
    }
}
