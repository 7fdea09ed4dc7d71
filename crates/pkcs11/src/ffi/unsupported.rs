//! The functions that this module does not support: keys are never wrapped or unwrapped, and there
//! are no symmetric keys.
//!
//! They check pointers, lengths and the session first, and then refuse.

use std::os::raw::c_void;

use cryptoki_sys::*;

use super::{call, pointer::count};
use crate::error::{Error, Result};

/// A pointer that must lead somewhere.
fn present<T>(pointer: *mut T) -> Result<()> {
    if pointer.is_null() {
        return Err(Error::ArgumentsBad);
    }
    Ok(())
}

/// A pointer that must lead to so many elements.
fn input<T>(pointer: *mut T, len: CK_ULONG) -> Result<()> {
    if count::<T>(len)? > 0 {
        present(pointer)?;
    }
    Ok(())
}

/// Defines functions. Words list their parameters after the session; each word stands for one or two
/// parameters. Each step takes one word, and adds its parameters to the first brackets and their
/// checks to the second.
macro_rules! unsupported {
    (@ $name:ident [$($parameters:tt)*] [$($checks:tt)*]) => {
        /// Not supported.
        ///
        /// # Safety
        ///
        /// No memory behind a pointer is read.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name(session: CK_SESSION_HANDLE, $($parameters)*) -> CK_RV {
            call(stringify!($name), |module| {
                $($checks)*
                module.with(|state| state.session(session).map(drop))?;
                Err(Error::NotSupported)
            })
        }
    };
    (@ $name:ident [$($p:tt)*] [$($c:tt)*] Bytes $($rest:tt)*) => {
        unsupported!(@ $name [$($p)* data: *mut CK_BYTE, len: CK_ULONG,] [$($c)* input(data, len)?;] $($rest)*);
    };
    (@ $name:ident [$($p:tt)*] [$($c:tt)*] Parameter $($rest:tt)*) => {
        unsupported!(@ $name [$($p)* data: *mut c_void, len: CK_ULONG,] [$($c)* input(data.cast::<u8>(), len)?;] $($rest)*);
    };
    (@ $name:ident [$($p:tt)*] [$($c:tt)*] Template $($rest:tt)*) => {
        unsupported!(@ $name [$($p)* template: *mut CK_ATTRIBUTE, len: CK_ULONG,] [$($c)* input(template, len)?;] $($rest)*);
    };
    (@ $name:ident [$($p:tt)*] [$($c:tt)*] Output $($rest:tt)*) => {
        unsupported!(@ $name [$($p)* _: *mut CK_BYTE, len: *mut CK_ULONG,] [$($c)* present(len)?;] $($rest)*);
    };
    (@ $name:ident [$($p:tt)*] [$($c:tt)*] Mechanism $($rest:tt)*) => {
        unsupported!(@ $name [$($p)* mechanism: *mut CK_MECHANISM,] [$($c)* present(mechanism)?;] $($rest)*);
    };
    // Null is allowed here: it cancels an operation.
    (@ $name:ident [$($p:tt)*] [$($c:tt)*] MechanismOrNull $($rest:tt)*) => {
        unsupported!(@ $name [$($p)* _: *mut CK_MECHANISM,] [$($c)*] $($rest)*);
    };
    (@ $name:ident [$($p:tt)*] [$($c:tt)*] Object $($rest:tt)*) => {
        unsupported!(@ $name [$($p)* _: CK_OBJECT_HANDLE,] [$($c)*] $($rest)*);
    };
    (@ $name:ident [$($p:tt)*] [$($c:tt)*] NewObject $($rest:tt)*) => {
        unsupported!(@ $name [$($p)* object: *mut CK_OBJECT_HANDLE,] [$($c)* present(object)?;] $($rest)*);
    };
    (@ $name:ident [$($p:tt)*] [$($c:tt)*] Flags $($rest:tt)*) => {
        unsupported!(@ $name [$($p)* _: CK_FLAGS,] [$($c)*] $($rest)*);
    };
    ($($name:ident: $($word:ident)*;)+) => {
        $(unsupported!(@ $name [] [] $($word)*);)+
    };
}

unsupported! {
    C_GetOperationState: Output;
    C_SetOperationState: Bytes Object Object;
    C_DigestKey: Object;
    C_SignRecoverInit: MechanismOrNull Object;
    C_SignRecover: Bytes Output;
    C_VerifyRecoverInit: MechanismOrNull Object;
    C_VerifyRecover: Bytes Output;
    C_DigestEncryptUpdate: Bytes Output;
    C_DecryptDigestUpdate: Bytes Output;
    C_SignEncryptUpdate: Bytes Output;
    C_DecryptVerifyUpdate: Bytes Output;
    C_GenerateKey: Mechanism Template NewObject;
    C_WrapKey: Mechanism Object Object Output;
    C_UnwrapKey: Mechanism Object Bytes Template NewObject;
    C_MessageEncryptInit: MechanismOrNull Object;
    C_EncryptMessage: Parameter Bytes Bytes Output;
    C_EncryptMessageBegin: Parameter Bytes;
    C_EncryptMessageNext: Parameter Bytes Output Flags;
    C_MessageEncryptFinal: ;
    C_MessageDecryptInit: MechanismOrNull Object;
    C_DecryptMessage: Parameter Bytes Bytes Output;
    C_DecryptMessageBegin: Parameter Bytes;
    C_DecryptMessageNext: Parameter Bytes Output Flags;
    C_MessageDecryptFinal: ;
    C_MessageSignInit: MechanismOrNull Object;
    C_SignMessage: Parameter Bytes Output;
    C_SignMessageBegin: Parameter;
    C_SignMessageNext: Parameter Bytes Output;
    C_MessageSignFinal: ;
    C_MessageVerifyInit: MechanismOrNull Object;
    C_VerifyMessage: Parameter Bytes Bytes;
    C_VerifyMessageBegin: Parameter;
    C_VerifyMessageNext: Parameter Bytes Bytes;
    C_MessageVerifyFinal: ;
}
