//! Existing objects: destroying and changing them.

use cryptoki_sys::*;
use token_store::object::{Attributes, Body, ObjectChange};

use super::{
    Content, Object, attribute,
    rules::{self, Kind, Purpose},
    template::Template,
};
use crate::{
    error::{Error, Result},
    module::State,
};

/// `C_DestroyObject`.
pub(crate) fn destroy(
    state: &mut State,
    session: CK_SESSION_HANDLE,
    handle: CK_OBJECT_HANDLE,
) -> Result<()> {
    let (slot, read_write) = {
        let session = state.session(session)?;
        (session.slot, session.read_write)
    };
    let object = state.object(slot, handle)?;
    if object.stored.is_some() && !read_write {
        return Err(Error::SessionReadOnly);
    }
    if !attribute::flag(&object, CKA_DESTROYABLE) {
        return Err(Error::ActionProhibited);
    }
    match object.stored {
        None => state.session_objects.remove(handle),
        Some(id) => {
            state.store_mut()?.delete_object(id)?;
            state.forget_objects(slot);
        }
    }
    Ok(())
}

/// `C_SetAttributeValue`: labels, ids, subjects, dates, and the value of data.
///
/// All changes of a template are made, or none.
pub(crate) fn change(
    state: &mut State,
    session: CK_SESSION_HANDLE,
    handle: CK_OBJECT_HANDLE,
    template: &Template,
) -> Result<()> {
    let (slot, read_write) = {
        let session = state.session(session)?;
        (session.slot, session.read_write)
    };
    let object = state.object(slot, handle)?;
    if object.stored.is_some() && !read_write {
        return Err(Error::SessionReadOnly);
    }
    if !attribute::flag(&object, CKA_MODIFIABLE) {
        return Err(Error::ActionProhibited);
    }
    let mut changed = Object::clone(&object);
    let attributes = apply(&mut changed, template, Purpose::Change)?;
    let Some(id) = object.stored else {
        let place = state
            .session_objects
            .get_mut(handle)
            .ok_or(Error::ObjectHandleInvalid)?;
        *place = changed;
        return Ok(());
    };
    let given = |kind| template.bytes(kind).map(<[u8]>::to_vec);
    let change = ObjectChange {
        label: template.text(CKA_LABEL)?.map(str::to_owned),
        cka_id: given(CKA_ID),
        subject: given(CKA_SUBJECT),
        value: given(CKA_VALUE),
        attributes,
    };
    state.store_mut()?.change_object(id, &change)?;
    state.forget_objects(slot);
    Ok(())
}

/// Gives an object the attributes of a template. Returns those that are kept unchanged.
///
/// # Errors
///
/// Those of [`rules::check`].
pub(super) fn apply(
    object: &mut Object,
    template: &Template,
    purpose: Purpose,
) -> Result<Attributes> {
    let kept = rules::check(template, Kind::of(object), purpose)?;
    for (kind, value) in kept.iter() {
        object.attributes.set(kind, value);
    }
    for wanted in template.attributes() {
        let new = &wanted.value;
        match (wanted.kind, &mut object.content) {
            (CKA_LABEL, _) => {
                object.label = template.text(CKA_LABEL)?.unwrap_or_default().to_owned();
            }
            (CKA_ID, _) => object.cka_id.clone_from(new),
            (
                CKA_SUBJECT,
                Content::Kept(Body::PrivateKey { subject, .. } | Body::PublicKey { subject, .. }),
            ) => subject.clone_from(new),
            (CKA_VALUE, Content::Kept(Body::Data { value, .. })) => value.clone_from(new),
            // The rules allow a change in one direction only.
            (CKA_SENSITIVE, Content::Secret(secret)) => secret.sensitive = true,
            (CKA_EXTRACTABLE, Content::Secret(secret)) => secret.extractable = false,
            _ => {}
        }
    }
    Ok(kept)
}
