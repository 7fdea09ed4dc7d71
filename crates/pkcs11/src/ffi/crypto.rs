//! Chapters 5.9 to 5.13: decrypting, hashing, signing, verifying.

use cryptoki_sys::*;

use super::{
    call, mechanism,
    pointer::{Buffer, input},
};
use crate::{
    error::Error,
    module::Module,
    operation::{self, Kind, Signed},
};

/// Ends an operation for a call with bad arguments, and returns the error. Every error except a
/// buffer that is too small ends an operation (PKCS#11 3.1, section 5.2).
pub(super) fn end(module: &Module, session: CK_SESSION_HANDLE, kind: Kind, err: Error) -> Error {
    match module.with(|state| operation::end(state, session, kind)) {
        // Bad arguments are reported before a bad session, as by all functions.
        Ok(()) | Err(_) => err,
    }
}

/// Begins a signature; without a mechanism, ends one.
///
/// # Safety
///
/// Every pointer is null or good for its length, as [`super`] says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn C_SignInit(
    session: CK_SESSION_HANDLE,
    mechanism: CK_MECHANISM_PTR,
    key: CK_OBJECT_HANDLE,
) -> CK_RV {
    call("C_SignInit", |module| {
        // SAFETY: the caller vouches for `mechanism`.
        let mechanism = unsafe { mechanism::read(mechanism) }?;
        module.with(|state| operation::sign_init(state, session, mechanism, key))
    })
}

/// Begins a verification; without a mechanism, ends one.
///
/// # Safety
///
/// Every pointer is null or good for its length, as [`super`] says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn C_VerifyInit(
    session: CK_SESSION_HANDLE,
    mechanism: CK_MECHANISM_PTR,
    key: CK_OBJECT_HANDLE,
) -> CK_RV {
    call("C_VerifyInit", |module| {
        // SAFETY: the caller vouches for `mechanism`.
        let mechanism = unsafe { mechanism::read(mechanism) }?;
        module.with(|state| operation::verify_init(state, session, mechanism, key))
    })
}

/// Begins a decryption; without a mechanism, ends one.
///
/// # Safety
///
/// Every pointer is null or good for its length, as [`super`] says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn C_DecryptInit(
    session: CK_SESSION_HANDLE,
    mechanism: CK_MECHANISM_PTR,
    key: CK_OBJECT_HANDLE,
) -> CK_RV {
    call("C_DecryptInit", |module| {
        // SAFETY: the caller vouches for `mechanism`.
        let mechanism = unsafe { mechanism::read(mechanism) }?;
        module.with(|state| operation::decrypt_init(state, session, mechanism, key))
    })
}

/// Begins a digest; without a mechanism, ends one.
///
/// # Safety
///
/// Every pointer is null or good for its length, as [`super`] says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn C_DigestInit(
    session: CK_SESSION_HANDLE,
    mechanism: CK_MECHANISM_PTR,
) -> CK_RV {
    call("C_DigestInit", |module| {
        // SAFETY: the caller vouches for `mechanism`.
        let mechanism = unsafe { mechanism::read(mechanism) }?;
        module.with(|state| operation::digest_init(state, session, mechanism))
    })
}

/// The whole operation in one call, or its length.
///
/// # Safety
///
/// Every pointer is null or good for its length, as [`super`] says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn C_Sign(
    session: CK_SESSION_HANDLE,
    data: CK_BYTE_PTR,
    data_len: CK_ULONG,
    out: CK_BYTE_PTR,
    out_len: CK_ULONG_PTR,
) -> CK_RV {
    call("C_Sign", |module| {
        let ended = |err| end(module, session, Kind::Sign, err);
        // SAFETY: the caller vouches for `data`.
        let data = unsafe { input(data, data_len) }.map_err(ended)?;
        // SAFETY: the caller vouches for `out` and `out_len`.
        let buffer = unsafe { Buffer::new(out, out_len) }.map_err(ended)?;
        let signed = module.with(|state| operation::sign(state, session, data, buffer.room()));
        buffer.answer(signed.and_then(Signed::finish))
    })
}

/// The whole operation in one call, or its length.
///
/// # Safety
///
/// Every pointer is null or good for its length, as [`super`] says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn C_Digest(
    session: CK_SESSION_HANDLE,
    data: CK_BYTE_PTR,
    data_len: CK_ULONG,
    out: CK_BYTE_PTR,
    out_len: CK_ULONG_PTR,
) -> CK_RV {
    call("C_Digest", |module| {
        let ended = |err| end(module, session, Kind::Digest, err);
        // SAFETY: the caller vouches for `data`.
        let data = unsafe { input(data, data_len) }.map_err(ended)?;
        // SAFETY: the caller vouches for `out` and `out_len`.
        let buffer = unsafe { Buffer::new(out, out_len) }.map_err(ended)?;
        buffer.answer(module.with(|state| operation::digest(state, session, data, buffer.room())))
    })
}

/// The whole operation in one call, or its length.
///
/// # Safety
///
/// Every pointer is null or good for its length, as [`super`] says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn C_Decrypt(
    session: CK_SESSION_HANDLE,
    data: CK_BYTE_PTR,
    data_len: CK_ULONG,
    out: CK_BYTE_PTR,
    out_len: CK_ULONG_PTR,
) -> CK_RV {
    call("C_Decrypt", |module| {
        let ended = |err| end(module, session, Kind::Decrypt, err);
        // SAFETY: the caller vouches for `data`.
        let data = unsafe { input(data, data_len) }.map_err(ended)?;
        // SAFETY: the caller vouches for `out` and `out_len`.
        let buffer = unsafe { Buffer::new(out, out_len) }.map_err(ended)?;
        buffer.answer(module.with(|state| operation::decrypt(state, session, data, buffer.room())))
    })
}

/// Adds a part of the input.
///
/// # Safety
///
/// Every pointer is null or good for its length, as [`super`] says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn C_SignUpdate(
    session: CK_SESSION_HANDLE,
    part: CK_BYTE_PTR,
    part_len: CK_ULONG,
) -> CK_RV {
    call("C_SignUpdate", |module| {
        let ended = |err| end(module, session, Kind::Sign, err);
        // SAFETY: the caller vouches for `part`.
        let part = unsafe { input(part, part_len) }.map_err(ended)?;
        module.with(|state| operation::sign_update(state, session, part))
    })
}

/// Adds a part of the input.
///
/// # Safety
///
/// Every pointer is null or good for its length, as [`super`] says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn C_DigestUpdate(
    session: CK_SESSION_HANDLE,
    part: CK_BYTE_PTR,
    part_len: CK_ULONG,
) -> CK_RV {
    call("C_DigestUpdate", |module| {
        let ended = |err| end(module, session, Kind::Digest, err);
        // SAFETY: the caller vouches for `part`.
        let part = unsafe { input(part, part_len) }.map_err(ended)?;
        module.with(|state| operation::digest_update(state, session, part))
    })
}

/// Adds a part of the input.
///
/// # Safety
///
/// Every pointer is null or good for its length, as [`super`] says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn C_VerifyUpdate(
    session: CK_SESSION_HANDLE,
    part: CK_BYTE_PTR,
    part_len: CK_ULONG,
) -> CK_RV {
    call("C_VerifyUpdate", |module| {
        let ended = |err| end(module, session, Kind::Verify, err);
        // SAFETY: the caller vouches for `part`.
        let part = unsafe { input(part, part_len) }.map_err(ended)?;
        module.with(|state| operation::verify_update(state, session, part))
    })
}

/// The result of the parts, or its length.
///
/// # Safety
///
/// Every pointer is null or good for its length, as [`super`] says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn C_SignFinal(
    session: CK_SESSION_HANDLE,
    out: CK_BYTE_PTR,
    out_len: CK_ULONG_PTR,
) -> CK_RV {
    call("C_SignFinal", |module| {
        let ended = |err| end(module, session, Kind::Sign, err);
        // SAFETY: the caller vouches for `out` and `out_len`.
        let buffer = unsafe { Buffer::new(out, out_len) }.map_err(ended)?;
        let signed = module.with(|state| operation::sign_final(state, session, buffer.room()));
        buffer.answer(signed.and_then(Signed::finish))
    })
}

/// The result of the parts, or its length.
///
/// # Safety
///
/// Every pointer is null or good for its length, as [`super`] says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn C_DigestFinal(
    session: CK_SESSION_HANDLE,
    out: CK_BYTE_PTR,
    out_len: CK_ULONG_PTR,
) -> CK_RV {
    call("C_DigestFinal", |module| {
        let ended = |err| end(module, session, Kind::Digest, err);
        // SAFETY: the caller vouches for `out` and `out_len`.
        let buffer = unsafe { Buffer::new(out, out_len) }.map_err(ended)?;
        buffer.answer(module.with(|state| operation::digest_final(state, session, buffer.room())))
    })
}

/// Checks a signature in one call.
///
/// # Safety
///
/// Every pointer is null or good for its length, as [`super`] says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn C_Verify(
    session: CK_SESSION_HANDLE,
    data: CK_BYTE_PTR,
    data_len: CK_ULONG,
    signature: CK_BYTE_PTR,
    signature_len: CK_ULONG,
) -> CK_RV {
    call("C_Verify", |module| {
        let ended = |err| end(module, session, Kind::Verify, err);
        // SAFETY: the caller vouches for `data`.
        let data = unsafe { input(data, data_len) }.map_err(ended)?;
        // SAFETY: the caller vouches for `signature`.
        let signature = unsafe { input(signature, signature_len) }.map_err(ended)?;
        module.with(|state| operation::verify(state, session, data, signature))
    })
}

/// Checks the signature of the parts.
///
/// # Safety
///
/// Every pointer is null or good for its length, as [`super`] says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn C_VerifyFinal(
    session: CK_SESSION_HANDLE,
    signature: CK_BYTE_PTR,
    signature_len: CK_ULONG,
) -> CK_RV {
    call("C_VerifyFinal", |module| {
        let ended = |err| end(module, session, Kind::Verify, err);
        // SAFETY: the caller vouches for `signature`.
        let signature = unsafe { input(signature, signature_len) }.map_err(ended)?;
        module.with(|state| operation::verify_final(state, session, signature))
    })
}
