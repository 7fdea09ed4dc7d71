//! The functions that take a template.

use cryptoki_sys::*;

use crate::{loaded::call, stage::Stage};

pub(super) fn result(returned: CK_RV, object: CK_OBJECT_HANDLE) -> Result<CK_OBJECT_HANDLE, CK_RV> {
    (returned == CKR_OK).then_some(object).ok_or(returned)
}

pub(crate) fn create(s: Stage, template: &mut [CK_ATTRIBUTE]) -> Result<CK_OBJECT_HANDLE, CK_RV> {
    let (mut object, len) = (0, template.len() as CK_ULONG);
    let place = &raw mut object;
    let returned = call!(
        s,
        C_CreateObject(s.session, template.as_mut_ptr(), len, place)
    );
    result(returned, object)
}

pub(crate) fn copy(
    s: Stage,
    object: CK_OBJECT_HANDLE,
    template: &mut [CK_ATTRIBUTE],
) -> Result<CK_OBJECT_HANDLE, CK_RV> {
    let (mut copy, len) = (0, template.len() as CK_ULONG);
    let place = &raw mut copy;
    let returned = call!(
        s,
        C_CopyObject(s.session, object, template.as_mut_ptr(), len, place)
    );
    result(returned, copy)
}

pub(crate) fn change(
    s: Stage,
    object: CK_OBJECT_HANDLE,
    template: &mut [CK_ATTRIBUTE],
) -> Result<CK_OBJECT_HANDLE, CK_RV> {
    let len = template.len() as CK_ULONG;
    let returned = call!(
        s,
        C_SetAttributeValue(s.session, object, template.as_mut_ptr(), len)
    );
    result(returned, object)
}

/// Derives the secret that a key and its own public half agree on.
pub(crate) fn derive(
    s: Stage,
    key: CK_OBJECT_HANDLE,
    template: &[CK_ATTRIBUTE],
) -> Result<CK_OBJECT_HANDLE, CK_RV> {
    let point = s.get(key, CKA_EC_POINT).expect("an EC key has one");
    s.agree(key, &point, template)
}
