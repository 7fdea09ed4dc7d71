//! The functions that this module does not do: keys are never wrapped, unwrapped or derived,
//! and there are no symmetric ones.
//!
//! They refuse after looking at the session: handles are checked before support is.

use cryptoki_sys::*;

use super::call;
use crate::error::Error;

macro_rules! unsupported {
    ($($name:ident($(_: $type:ty),*);)+) => {
        $(
            /// Not supported.
            ///
            /// # Safety
            ///
            /// No pointer is looked at.
            #[unsafe(no_mangle)]
            pub unsafe extern "C" fn $name(session: CK_SESSION_HANDLE, $(_: $type),*) -> CK_RV {
                call(stringify!($name), |module| {
                    module.with(|state| state.session(session).map(drop))?;
                    Err(Error::NotSupported)
                })
            }
        )+
    };
}

unsupported! {
    C_GetOperationState(_: *mut CK_BYTE, _: *mut CK_ULONG);
    C_SetOperationState(_: *mut CK_BYTE, _: CK_ULONG, _: CK_OBJECT_HANDLE, _: CK_OBJECT_HANDLE);
    C_EncryptInit(_: *mut CK_MECHANISM, _: CK_OBJECT_HANDLE);
    C_Encrypt(_: *mut CK_BYTE, _: CK_ULONG, _: *mut CK_BYTE, _: *mut CK_ULONG);
    C_EncryptUpdate(_: *mut CK_BYTE, _: CK_ULONG, _: *mut CK_BYTE, _: *mut CK_ULONG);
    C_EncryptFinal(_: *mut CK_BYTE, _: *mut CK_ULONG);
    C_DecryptUpdate(_: *mut CK_BYTE, _: CK_ULONG, _: *mut CK_BYTE, _: *mut CK_ULONG);
    C_DecryptFinal(_: *mut CK_BYTE, _: *mut CK_ULONG);
    C_DigestKey(_: CK_OBJECT_HANDLE);
    C_SignRecoverInit(_: *mut CK_MECHANISM, _: CK_OBJECT_HANDLE);
    C_SignRecover(_: *mut CK_BYTE, _: CK_ULONG, _: *mut CK_BYTE, _: *mut CK_ULONG);
    C_VerifyRecoverInit(_: *mut CK_MECHANISM, _: CK_OBJECT_HANDLE);
    C_VerifyRecover(_: *mut CK_BYTE, _: CK_ULONG, _: *mut CK_BYTE, _: *mut CK_ULONG);
    C_DigestEncryptUpdate(_: *mut CK_BYTE, _: CK_ULONG, _: *mut CK_BYTE, _: *mut CK_ULONG);
    C_DecryptDigestUpdate(_: *mut CK_BYTE, _: CK_ULONG, _: *mut CK_BYTE, _: *mut CK_ULONG);
    C_SignEncryptUpdate(_: *mut CK_BYTE, _: CK_ULONG, _: *mut CK_BYTE, _: *mut CK_ULONG);
    C_DecryptVerifyUpdate(_: *mut CK_BYTE, _: CK_ULONG, _: *mut CK_BYTE, _: *mut CK_ULONG);
    C_GenerateKey(_: *mut CK_MECHANISM, _: *mut CK_ATTRIBUTE, _: CK_ULONG, _: *mut CK_OBJECT_HANDLE);
    C_WrapKey(_: *mut CK_MECHANISM, _: CK_OBJECT_HANDLE, _: CK_OBJECT_HANDLE, _: *mut CK_BYTE, _: *mut CK_ULONG);
    C_UnwrapKey(_: *mut CK_MECHANISM, _: CK_OBJECT_HANDLE, _: *mut CK_BYTE, _: CK_ULONG, _: *mut CK_ATTRIBUTE, _: CK_ULONG, _: *mut CK_OBJECT_HANDLE);
    C_DeriveKey(_: *mut CK_MECHANISM, _: CK_OBJECT_HANDLE, _: *mut CK_ATTRIBUTE, _: CK_ULONG, _: *mut CK_OBJECT_HANDLE);
    C_MessageEncryptInit(_: *mut CK_MECHANISM, _: CK_OBJECT_HANDLE);
    C_EncryptMessage(_: *mut ::std::os::raw::c_void, _: CK_ULONG, _: *mut CK_BYTE, _: CK_ULONG, _: *mut CK_BYTE, _: CK_ULONG, _: *mut CK_BYTE, _: *mut CK_ULONG);
    C_EncryptMessageBegin(_: *mut ::std::os::raw::c_void, _: CK_ULONG, _: *mut CK_BYTE, _: CK_ULONG);
    C_EncryptMessageNext(_: *mut ::std::os::raw::c_void, _: CK_ULONG, _: *mut CK_BYTE, _: CK_ULONG, _: *mut CK_BYTE, _: *mut CK_ULONG, _: CK_FLAGS);
    C_MessageEncryptFinal();
    C_MessageDecryptInit(_: *mut CK_MECHANISM, _: CK_OBJECT_HANDLE);
    C_DecryptMessage(_: *mut ::std::os::raw::c_void, _: CK_ULONG, _: *mut CK_BYTE, _: CK_ULONG, _: *mut CK_BYTE, _: CK_ULONG, _: *mut CK_BYTE, _: *mut CK_ULONG);
    C_DecryptMessageBegin(_: *mut ::std::os::raw::c_void, _: CK_ULONG, _: *mut CK_BYTE, _: CK_ULONG);
    C_DecryptMessageNext(_: *mut ::std::os::raw::c_void, _: CK_ULONG, _: *mut CK_BYTE, _: CK_ULONG, _: *mut CK_BYTE, _: *mut CK_ULONG, _: CK_FLAGS);
    C_MessageDecryptFinal();
    C_MessageSignInit(_: *mut CK_MECHANISM, _: CK_OBJECT_HANDLE);
    C_SignMessage(_: *mut ::std::os::raw::c_void, _: CK_ULONG, _: *mut CK_BYTE, _: CK_ULONG, _: *mut CK_BYTE, _: *mut CK_ULONG);
    C_SignMessageBegin(_: *mut ::std::os::raw::c_void, _: CK_ULONG);
    C_SignMessageNext(_: *mut ::std::os::raw::c_void, _: CK_ULONG, _: *mut CK_BYTE, _: CK_ULONG, _: *mut CK_BYTE, _: *mut CK_ULONG);
    C_MessageSignFinal();
    C_MessageVerifyInit(_: *mut CK_MECHANISM, _: CK_OBJECT_HANDLE);
    C_VerifyMessage(_: *mut ::std::os::raw::c_void, _: CK_ULONG, _: *mut CK_BYTE, _: CK_ULONG, _: *mut CK_BYTE, _: CK_ULONG);
    C_VerifyMessageBegin(_: *mut ::std::os::raw::c_void, _: CK_ULONG);
    C_VerifyMessageNext(_: *mut ::std::os::raw::c_void, _: CK_ULONG, _: *mut CK_BYTE, _: CK_ULONG, _: *mut CK_BYTE, _: CK_ULONG);
    C_MessageVerifyFinal();
}
