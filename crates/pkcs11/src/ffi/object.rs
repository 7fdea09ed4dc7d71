//! Chapter 5.7: objects.

use cryptoki_sys::*;

use super::{
    call,
    pointer::{Buffer, Out},
    template::{self, Blank},
};
use crate::{
    answer::Answer,
    error::Error,
    object::{attribute, change, copy, create},
};

/// Makes an object that is not a private or secret key.
///
/// # Safety
///
/// Every pointer is null or good for its length, as [`super`] says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn C_CreateObject(
    session: CK_SESSION_HANDLE,
    template: CK_ATTRIBUTE_PTR,
    count: CK_ULONG,
    object: CK_OBJECT_HANDLE_PTR,
) -> CK_RV {
    call("C_CreateObject", |module| {
        // SAFETY: the caller vouches for `template`.
        let template = unsafe { template::read(template, count) }?;
        // SAFETY: the caller vouches for `object`.
        let out = unsafe { Out::new(object) }?;
        out.put(module.with(|state| create::create(state, session, &template))?);
        Ok(())
    })
}

/// Copies an object. This is also the way to keep a key of a session in its token.
///
/// # Safety
///
/// Every pointer is null or good for its length, as [`super`] says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn C_CopyObject(
    session: CK_SESSION_HANDLE,
    object: CK_OBJECT_HANDLE,
    template: CK_ATTRIBUTE_PTR,
    count: CK_ULONG,
    copy: CK_OBJECT_HANDLE_PTR,
) -> CK_RV {
    call("C_CopyObject", |module| {
        // SAFETY: the caller vouches for `template`.
        let template = unsafe { template::read(template, count) }?;
        // SAFETY: the caller vouches for `copy`.
        let out = unsafe { Out::new(copy) }?;
        out.put(module.with(|state| copy::copy(state, session, object, &template))?);
        Ok(())
    })
}

/// Deletes an object. Of a key pair it deletes one half.
///
/// # Safety
///
/// Every pointer is null or good for its length, as [`super`] says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn C_DestroyObject(
    session: CK_SESSION_HANDLE,
    object: CK_OBJECT_HANDLE,
) -> CK_RV {
    call("C_DestroyObject", |module| {
        module.with(|state| change::destroy(state, session, object))
    })
}

/// The approximate size of an object, in bytes.
///
/// # Safety
///
/// Every pointer is null or good for its length, as [`super`] says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn C_GetObjectSize(
    session: CK_SESSION_HANDLE,
    object: CK_OBJECT_HANDLE,
    size: CK_ULONG_PTR,
) -> CK_RV {
    call("C_GetObjectSize", |module| {
        // SAFETY: the caller vouches for `size`.
        let out = unsafe { Out::new(size) }?;
        let object = module.with(|state| {
            let slot = state.session(session)?.slot;
            state.object(slot, object)
        })?;
        out.put(attribute::size(&object) as CK_ULONG);
        Ok(())
    })
}

/// The values of attributes, or their lengths.
///
/// # Safety
///
/// Every pointer is null or good for its length, as [`super`] says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn C_GetAttributeValue(
    session: CK_SESSION_HANDLE,
    object: CK_OBJECT_HANDLE,
    template: CK_ATTRIBUTE_PTR,
    count: CK_ULONG,
) -> CK_RV {
    call("C_GetAttributeValue", |module| {
        // SAFETY: the caller vouches for `template`.
        let blank = unsafe { Blank::new(template, count) }?;
        let object = module.with(|state| {
            let slot = state.session(session)?.slot;
            state.object(slot, object)
        })?;
        let (found, outcome) = attribute::read_all(&object, blank.asked());
        blank.fill(&found);
        outcome
    })
}

/// Changes a label, an id, a subject, a date or the value of data.
///
/// # Safety
///
/// Every pointer is null or good for its length, as [`super`] says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn C_SetAttributeValue(
    session: CK_SESSION_HANDLE,
    object: CK_OBJECT_HANDLE,
    template: CK_ATTRIBUTE_PTR,
    count: CK_ULONG,
) -> CK_RV {
    call("C_SetAttributeValue", |module| {
        // SAFETY: the caller vouches for `template`.
        let template = unsafe { template::read(template, count) }?;
        module.with(|state| change::change(state, session, object, &template))
    })
}

/// Begins a search.
///
/// # Safety
///
/// Every pointer is null or good for its length, as [`super`] says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn C_FindObjectsInit(
    session: CK_SESSION_HANDLE,
    template: CK_ATTRIBUTE_PTR,
    count: CK_ULONG,
) -> CK_RV {
    call("C_FindObjectsInit", |module| {
        // SAFETY: the caller vouches for `template`.
        let template = unsafe { template::read(template, count) }?;
        module.with(|state| {
            let begun = state.session(session)?;
            if begun.find.is_some() {
                return Err(Error::OperationActive);
            }
            let slot = begun.slot;
            let found = state.search(slot, &template)?;
            state.session(session)?.find = Some(found.into());
            Ok(())
        })
    })
}

/// The next results of a search.
///
/// # Safety
///
/// Every pointer is null or good for its length, as [`super`] says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn C_FindObjects(
    session: CK_SESSION_HANDLE,
    objects: CK_OBJECT_HANDLE_PTR,
    max: CK_ULONG,
    count: CK_ULONG_PTR,
) -> CK_RV {
    call("C_FindObjects", |module| {
        if objects.is_null() {
            return Err(Error::ArgumentsBad);
        }
        let mut room = max;
        // SAFETY: the caller vouches for `max` elements.
        let buffer = unsafe { Buffer::new(objects, &raw mut room) }?;
        // SAFETY: the caller vouches for `count`.
        let count = unsafe { Out::new(count) }?;
        let max = usize::try_from(max).unwrap_or(usize::MAX);
        let found = module.with(|state| state.session(session)?.found(max))?;
        count.put(found.len() as CK_ULONG);
        buffer.answer(Ok(Answer::Data(found)))
    })
}

/// Ends a search.
///
/// # Safety
///
/// Every pointer is null or good for its length, as [`super`] says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn C_FindObjectsFinal(session: CK_SESSION_HANDLE) -> CK_RV {
    call("C_FindObjectsFinal", |module| {
        module.with(|state| {
            let find = &mut state.session(session)?.find;
            find.take().map(drop).ok_or(Error::OperationNotInitialized)
        })
    })
}
