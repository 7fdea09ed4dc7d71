//! The functions that take a template.

use std::ptr;

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

pub(super) fn derive(
    s: Stage,
    base: CK_OBJECT_HANDLE,
    template: &mut [CK_ATTRIBUTE],
) -> Result<CK_OBJECT_HANDLE, CK_RV> {
    let point = s.get(base, CKA_EC_POINT).expect("an EC key has one");
    let mut parameter = CK_ECDH1_DERIVE_PARAMS {
        kdf: CKD_NULL,
        ulSharedDataLen: 0,
        pSharedData: ptr::null_mut(),
        ulPublicDataLen: point.len() as CK_ULONG,
        pPublicData: point.as_ptr().cast_mut(),
    };
    let mut mechanism = CK_MECHANISM {
        mechanism: CKM_ECDH1_DERIVE,
        pParameter: (&raw mut parameter).cast(),
        ulParameterLen: size_of_val(&parameter) as CK_ULONG,
    };
    let (mut secret, len) = (0, template.len() as CK_ULONG);
    let returned = call!(
        s,
        C_DeriveKey(
            s.session,
            &raw mut mechanism,
            base,
            template.as_mut_ptr(),
            len,
            &raw mut secret
        )
    );
    result(returned, secret)
}
