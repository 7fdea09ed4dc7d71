//! Objects: those of the store, and those of a session, which end with it.

use std::{collections::BTreeMap, fmt, sync::Arc};

use cryptoki_sys::*;
use token_store::{
    Key, ObjectId,
    object::{Attributes, Body},
};
use tpm_core::PublicKey;
use zeroize::Zeroizing;

use crate::error::{Error, Result};

pub(crate) mod attribute;
pub(crate) mod change;
pub(crate) mod copy;
pub(crate) mod create;
pub(crate) mod rules;
pub(crate) mod template;

/// The bit that tells the handles of session objects from those of token objects.
const SESSION_OBJECT: CK_OBJECT_HANDLE = 1 << (CK_OBJECT_HANDLE::BITS - 2);

/// Objects by handle, in the order in which they were made.
pub(crate) type Objects = BTreeMap<CK_OBJECT_HANDLE, Arc<Object>>;

/// An object of a token or of a session.
///
/// The handle of a token object is its number in the store, so that there is no table to keep
/// and a handle never comes to mean another object.
#[derive(Debug, Clone)]
pub(crate) struct Object {
    pub(crate) handle: CK_OBJECT_HANDLE,
    /// Its number in the store; `None` for a session object.
    pub(crate) stored: Option<ObjectId>,
    pub(crate) label: String,
    pub(crate) cka_id: Vec<u8>,
    /// Whether it shows only after login.
    pub(crate) private: bool,
    /// The attributes of callers that are kept unchanged ([`rules`]).
    pub(crate) attributes: Attributes,
    pub(crate) content: Content,
}

/// The content of an object, besides its label, id and visibility.
#[derive(Debug, Clone)]
pub(crate) enum Content {
    /// A content that a token can hold.
    Kept(Body),
    /// A derived secret, which ends with its session.
    Secret(Secret),
}

/// A `CKK_GENERIC_SECRET`.
#[derive(Debug, Clone)]
pub(crate) struct Secret {
    pub(crate) value: Value,
    pub(crate) sensitive: bool,
    pub(crate) extractable: bool,
    /// Whether it has been sensitive ever since it was made.
    pub(crate) always_sensitive: bool,
    /// Whether it has never been extractable.
    pub(crate) never_extractable: bool,
}

/// The bytes of a secret: wiped when dropped, and never printed.
#[derive(Clone)]
pub(crate) struct Value(pub(crate) Zeroizing<Vec<u8>>);

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

impl Content {
    /// The content, if a token can hold it.
    fn kept(&self) -> Option<&Body> {
        match self {
            Self::Kept(body) => Some(body),
            Self::Secret(_) => None,
        }
    }
}

impl Object {
    /// An object of the store. `login_required` is true for a token with a PIN.
    ///
    /// # Errors
    ///
    /// [`Error::Internal`] for a number that no store has.
    pub(crate) fn stored(object: token_store::Object, login_required: bool) -> Result<Self> {
        Ok(Self {
            handle: handle_of(object.id)?,
            stored: Some(object.id),
            label: object.label,
            cka_id: object.cka_id,
            private: object.private && login_required,
            attributes: object.attributes,
            content: Content::Kept(object.body),
        })
    }

    /// The key pair, if this is its private half.
    pub(crate) fn private_key(&self) -> Option<&Arc<Key>> {
        match self.content.kept()? {
            Body::PrivateKey { key, .. } => Some(key),
            _ => None,
        }
    }

    /// The private key, for an operation with it.
    ///
    /// # Errors
    ///
    /// [`Error::KeyFunctionNotPermitted`] if this is a public key.
    pub(crate) fn as_private(&self) -> Result<Arc<Key>> {
        self.private_key()
            .cloned()
            .ok_or(Error::KeyFunctionNotPermitted)
    }

    /// The public key, for an operation with it.
    ///
    /// # Errors
    ///
    /// [`Error::KeyFunctionNotPermitted`] if this is a private key.
    pub(crate) fn as_public(&self) -> Result<PublicKey> {
        match (self.private_key(), self.public_key()) {
            (None, Some(public)) => Ok(public.clone()),
            _ => Err(Error::KeyFunctionNotPermitted),
        }
    }

    /// The public key of either half, or of an added public key.
    pub(crate) fn public_key(&self) -> Option<&PublicKey> {
        match self.content.kept()? {
            Body::PrivateKey { key, .. } => Some(key.public()),
            Body::PublicKey { public, .. } => Some(public),
            Body::Certificate { .. } | Body::Data { .. } => None,
        }
    }
}

/// The handle of an object of the store.
///
/// # Errors
///
/// [`Error::Internal`] for a number that no store has.
pub(crate) fn handle_of(id: ObjectId) -> Result<CK_OBJECT_HANDLE> {
    CK_OBJECT_HANDLE::try_from(id.get())
        .ok()
        .filter(|handle| (1..SESSION_OBJECT).contains(handle))
        .ok_or(Error::Internal)
}

/// An object that ends with the session that made it.
#[derive(Debug)]
pub(crate) struct SessionObject {
    pub(crate) slot: CK_SLOT_ID,
    pub(crate) session: CK_SESSION_HANDLE,
    pub(crate) object: Arc<Object>,
}

/// The session objects of all sessions.
#[derive(Debug, Default)]
pub(crate) struct SessionObjects {
    objects: BTreeMap<CK_OBJECT_HANDLE, SessionObject>,
    made: CK_OBJECT_HANDLE,
}

impl SessionObjects {
    /// Keeps an object, whose handle is chosen here.
    pub(crate) fn add(
        &mut self,
        slot: CK_SLOT_ID,
        session: CK_SESSION_HANDLE,
        mut object: Object,
    ) -> CK_OBJECT_HANDLE {
        self.made += 1;
        let handle = SESSION_OBJECT | self.made;
        object.handle = handle;
        let object = Arc::new(object);
        self.objects.insert(
            handle,
            SessionObject {
                slot,
                session,
                object,
            },
        );
        handle
    }

    /// The objects that the sessions of one slot share.
    pub(crate) fn of_slot(&self, slot: CK_SLOT_ID) -> impl Iterator<Item = &Arc<Object>> {
        self.objects
            .values()
            .filter(move |o| o.slot == slot)
            .map(|o| &o.object)
    }

    pub(crate) fn get(&self, slot: CK_SLOT_ID, handle: CK_OBJECT_HANDLE) -> Option<&Arc<Object>> {
        self.objects
            .get(&handle)
            .filter(|o| o.slot == slot)
            .map(|o| &o.object)
    }

    /// The object, to be changed.
    pub(crate) fn get_mut(&mut self, handle: CK_OBJECT_HANDLE) -> Option<&mut Object> {
        self.objects
            .get_mut(&handle)
            .map(|o| Arc::make_mut(&mut o.object))
    }

    pub(crate) fn remove(&mut self, handle: CK_OBJECT_HANDLE) {
        self.objects.remove(&handle);
    }

    /// Removes those that `gone` names.
    pub(crate) fn remove_if(&mut self, gone: impl Fn(&SessionObject) -> bool) {
        self.objects.retain(|_, object| !gone(object));
    }
}
