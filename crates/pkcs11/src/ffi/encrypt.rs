//! Chapter 5.8: encrypting; and the calls for parts, which RSA does not take.

use cryptoki_sys::*;

use super::{
    call,
    crypto::end,
    mechanism,
    pointer::{Buffer, input},
};
use crate::operation::{self, Kind};

/// Begins an encryption; without a mechanism, ends one.
///
/// # Safety
///
/// Every pointer is null or good for its length, as [`super`] says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn C_EncryptInit(
    session: CK_SESSION_HANDLE,
    mechanism: CK_MECHANISM_PTR,
    key: CK_OBJECT_HANDLE,
) -> CK_RV {
    call("C_EncryptInit", |module| {
        // SAFETY: the caller vouches for `mechanism`.
        let mechanism = unsafe { mechanism::read(mechanism) }?;
        module.with(|state| operation::encrypt_init(state, session, mechanism, key))
    })
}

/// The whole operation in one call, or its length.
///
/// # Safety
///
/// Every pointer is null or good for its length, as [`super`] says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn C_Encrypt(
    session: CK_SESSION_HANDLE,
    data: CK_BYTE_PTR,
    data_len: CK_ULONG,
    out: CK_BYTE_PTR,
    out_len: CK_ULONG_PTR,
) -> CK_RV {
    call("C_Encrypt", |module| {
        let ended = |err| end(module, session, Kind::Encrypt, err);
        // SAFETY: the caller vouches for `data`.
        let data = unsafe { input(data, data_len) }.map_err(ended)?;
        // SAFETY: the caller vouches for `out` and `out_len`.
        let buffer = unsafe { Buffer::new(out, out_len) }.map_err(ended)?;
        buffer.answer(module.with(|state| operation::encrypt(state, session, data, buffer.room())))
    })
}

/// Functions for the parts of a message.
macro_rules! parts {
    ($($update:ident, $last:ident: $kind:expr;)+) => { $(
        /// Ends the operation: its mechanism takes all input in one call.
        ///
        /// # Safety
        ///
        /// Every pointer is null or good for its length, as [`super`] says.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $update(
            session: CK_SESSION_HANDLE,
            part: CK_BYTE_PTR,
            part_len: CK_ULONG,
            out: CK_BYTE_PTR,
            out_len: CK_ULONG_PTR,
        ) -> CK_RV {
            call(stringify!($update), |module| {
                let ended = |err| end(module, session, $kind, err);
                // SAFETY: the caller vouches for `part`.
                unsafe { input(part, part_len) }.map_err(ended)?;
                // SAFETY: the caller vouches for `out` and `out_len`.
                unsafe { Buffer::new(out, out_len) }.map_err(ended)?;
                module.with(|state| operation::refuse_part(state, session, $kind))
            })
        }

        /// Ends the operation: its mechanism takes all input in one call.
        ///
        /// # Safety
        ///
        /// Every pointer is null or good for its length, as [`super`] says.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $last(
            session: CK_SESSION_HANDLE,
            out: CK_BYTE_PTR,
            out_len: CK_ULONG_PTR,
        ) -> CK_RV {
            call(stringify!($last), |module| {
                let ended = |err| end(module, session, $kind, err);
                // SAFETY: the caller vouches for `out` and `out_len`.
                unsafe { Buffer::new(out, out_len) }.map_err(ended)?;
                module.with(|state| operation::refuse_part(state, session, $kind))
            })
        }
    )+ };
}

parts! {
    C_EncryptUpdate, C_EncryptFinal: Kind::Encrypt;
    C_DecryptUpdate, C_DecryptFinal: Kind::Decrypt;
}
