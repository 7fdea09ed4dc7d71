//! A panic in each of the functions. It exists only in tests.

use std::ptr;

use cryptoki_sys::*;

use super::{interface::LIST_3_0, tests::panicking};

/// An empty argument.
trait Nothing {
    fn nothing() -> Self;
}

impl Nothing for CK_ULONG {
    fn nothing() -> Self {
        0
    }
}

impl Nothing for CK_BBOOL {
    fn nothing() -> Self {
        CK_FALSE
    }
}

impl<T> Nothing for *mut T {
    fn nothing() -> Self {
        ptr::null_mut()
    }
}

impl<F> Nothing for Option<F> {
    fn nothing() -> Self {
        None
    }
}

/// A function that can be called with empty arguments.
trait Callable {
    fn call(self) -> CK_RV;
}

macro_rules! callable {
    ($(($($argument:ident)*))*) => {
        $(impl<$($argument: Nothing),*> Callable for unsafe extern "C" fn($($argument),*) -> CK_RV {
            fn call(self) -> CK_RV {
                // SAFETY: null is good for every function of the module, as is any number.
                unsafe { self($($argument::nothing()),*) }
            }
        })*
    };
}

callable! {
    (A) (A B) (A B C) (A B C D) (A B C D E) (A B C D E F) (A B C D E F G) (A B C D E F G H)
    (A B C D E F G H I)
}

/// A function of the module by name, called with empty arguments.
type Function = (&'static str, fn() -> CK_RV);

macro_rules! functions {
    ($($name:ident)*) => {
        [$((stringify!($name), || LIST_3_0.$name.expect("no entry is null").call())),*]
    };
}

#[test]
fn a_panic_in_any_function_becomes_a_return_value() {
    let functions: [Function; 92] = functions! {
        C_Initialize C_Finalize C_GetInfo C_GetFunctionList C_GetSlotList C_GetSlotInfo
        C_GetTokenInfo C_GetMechanismList C_GetMechanismInfo C_InitToken C_InitPIN C_SetPIN
        C_OpenSession C_CloseSession C_CloseAllSessions C_GetSessionInfo C_GetOperationState
        C_SetOperationState C_Login C_Logout C_CreateObject C_CopyObject C_DestroyObject
        C_GetObjectSize C_GetAttributeValue C_SetAttributeValue C_FindObjectsInit C_FindObjects
        C_FindObjectsFinal C_EncryptInit C_Encrypt C_EncryptUpdate C_EncryptFinal C_DecryptInit
        C_Decrypt C_DecryptUpdate C_DecryptFinal C_DigestInit C_Digest C_DigestUpdate C_DigestKey
        C_DigestFinal C_SignInit C_Sign C_SignUpdate C_SignFinal C_SignRecoverInit C_SignRecover
        C_VerifyInit C_Verify C_VerifyUpdate C_VerifyFinal C_VerifyRecoverInit C_VerifyRecover
        C_DigestEncryptUpdate C_DecryptDigestUpdate C_SignEncryptUpdate C_DecryptVerifyUpdate
        C_GenerateKey C_GenerateKeyPair C_WrapKey C_UnwrapKey C_DeriveKey C_SeedRandom
        C_GenerateRandom C_GetFunctionStatus C_CancelFunction C_WaitForSlotEvent
        C_GetInterfaceList C_GetInterface C_LoginUser C_SessionCancel C_MessageEncryptInit
        C_EncryptMessage C_EncryptMessageBegin C_EncryptMessageNext C_MessageEncryptFinal
        C_MessageDecryptInit C_DecryptMessage C_DecryptMessageBegin C_DecryptMessageNext
        C_MessageDecryptFinal C_MessageSignInit C_SignMessage C_SignMessageBegin
        C_SignMessageNext C_MessageSignFinal C_MessageVerifyInit C_VerifyMessage
        C_VerifyMessageBegin C_VerifyMessageNext C_MessageVerifyFinal
    };
    for (name, call) in functions {
        assert_eq!(panicking(call), CKR_GENERAL_ERROR, "{name}");
        assert_ne!(call(), CKR_GENERAL_ERROR, "{name} after the panic");
    }
}
