//! Chapter 5.5: slots and tokens.

use cryptoki_sys::*;

use super::{
    call,
    pointer::{Buffer, Out, input, value},
};
use crate::{error::Error, mechanism, slot};

/// The slots, those with keys first.
///
/// # Safety
///
/// Every pointer is null or good for its length, as [`super`] says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn C_GetSlotList(
    with_token: CK_BBOOL,
    list: CK_SLOT_ID_PTR,
    count: CK_ULONG_PTR,
) -> CK_RV {
    call("C_GetSlotList", |module| {
        // SAFETY: the caller vouches for `list` and `count`.
        let buffer = unsafe { Buffer::new(list, count) }?;
        let slots = module.with(|state| state.slot_list(with_token != CK_FALSE))?;
        buffer.answer(buffer.room().give(slots))
    })
}

/// The description of a slot.
///
/// # Safety
///
/// Every pointer is null or good for its length, as [`super`] says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn C_GetSlotInfo(slot: CK_SLOT_ID, info: CK_SLOT_INFO_PTR) -> CK_RV {
    call("C_GetSlotInfo", |module| {
        // SAFETY: the caller vouches for `info`.
        let out = unsafe { Out::new(info) }?;
        out.put(module.with(|state| slot::slot_info(state, slot))?);
        Ok(())
    })
}

/// The description of a token, with flags for the tries that are left.
///
/// # Safety
///
/// Every pointer is null or good for its length, as [`super`] says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn C_GetTokenInfo(slot: CK_SLOT_ID, info: CK_TOKEN_INFO_PTR) -> CK_RV {
    call("C_GetTokenInfo", |module| {
        // SAFETY: the caller vouches for `info`.
        let out = unsafe { Out::new(info) }?;
        out.put(module.with(|state| slot::token_info(state, slot))?);
        Ok(())
    })
}

/// The mechanisms of the token's chip.
///
/// # Safety
///
/// Every pointer is null or good for its length, as [`super`] says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn C_GetMechanismList(
    slot: CK_SLOT_ID,
    list: CK_MECHANISM_TYPE_PTR,
    count: CK_ULONG_PTR,
) -> CK_RV {
    call("C_GetMechanismList", |module| {
        // SAFETY: the caller vouches for `list` and `count`.
        let buffer = unsafe { Buffer::new(list, count) }?;
        let types = module.with(|state| Ok(state.token(slot)?.key_types))?;
        buffer.answer(buffer.room().give(mechanism::list(&types)))
    })
}

/// The keys and functions that a mechanism works with.
///
/// # Safety
///
/// Every pointer is null or good for its length, as [`super`] says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn C_GetMechanismInfo(
    slot: CK_SLOT_ID,
    kind: CK_MECHANISM_TYPE,
    info: CK_MECHANISM_INFO_PTR,
) -> CK_RV {
    call("C_GetMechanismInfo", |module| {
        // SAFETY: the caller vouches for `info`.
        let out = unsafe { Out::new(info) }?;
        let types = module.with(|state| Ok(state.token(slot)?.key_types))?;
        out.put(mechanism::info(kind, &types)?);
        Ok(())
    })
}

/// Makes a token in the empty slot, or an existing one anew.
///
/// # Safety
///
/// Every pointer is null or good for its length, as [`super`] says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn C_InitToken(
    slot: CK_SLOT_ID,
    pin: CK_UTF8CHAR_PTR,
    pin_len: CK_ULONG,
    label: CK_UTF8CHAR_PTR,
) -> CK_RV {
    call("C_InitToken", |module| {
        // SAFETY: the caller vouches for `pin`.
        let pin = unsafe { input(pin, pin_len) }?;
        // SAFETY: the caller vouches for 32 bytes.
        let label: [u8; 32] = unsafe { value(label.cast()) }?;
        module.with(|state| slot::init_token(state, slot, pin, &label))
    })
}

/// The SO sets the user's PIN.
///
/// # Safety
///
/// Every pointer is null or good for its length, as [`super`] says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn C_InitPIN(
    session: CK_SESSION_HANDLE,
    pin: CK_UTF8CHAR_PTR,
    pin_len: CK_ULONG,
) -> CK_RV {
    call("C_InitPIN", |module| {
        // SAFETY: the caller vouches for `pin`.
        let pin = unsafe { input(pin, pin_len) }?;
        module.with(|state| slot::init_pin(state, session, pin))
    })
}

/// The user changes the user PIN, or the logged-in SO the SO PIN.
///
/// # Safety
///
/// Every pointer is null or good for its length, as [`super`] says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn C_SetPIN(
    session: CK_SESSION_HANDLE,
    old: CK_UTF8CHAR_PTR,
    old_len: CK_ULONG,
    new: CK_UTF8CHAR_PTR,
    new_len: CK_ULONG,
) -> CK_RV {
    call("C_SetPIN", |module| {
        // SAFETY: the caller vouches for `old`.
        let old = unsafe { input(old, old_len) }?;
        // SAFETY: the caller vouches for `new`.
        let new = unsafe { input(new, new_len) }?;
        module.with(|state| slot::set_pin(state, session, old, new))
    })
}

/// Waits for a change of a slot. There never is one: `CKR_NO_EVENT`, or not supported if it is to block.
///
/// # Safety
///
/// Every pointer is null or good for its length, as [`super`] says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn C_WaitForSlotEvent(
    flags: CK_FLAGS,
    slot: CK_SLOT_ID_PTR,
    reserved: CK_VOID_PTR,
) -> CK_RV {
    call("C_WaitForSlotEvent", |_| {
        if slot.is_null() || !reserved.is_null() {
            return Err(Error::ArgumentsBad);
        }
        if flags & CKF_DONT_BLOCK == 0 {
            Err(Error::NotSupported)
        } else {
            Err(Error::NoEvent)
        }
    })
}
