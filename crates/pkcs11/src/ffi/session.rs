//! Chapter 5.6: sessions.

use cryptoki_sys::*;

use super::{
    call,
    pointer::{Out, input},
};
use crate::{error::Error, session::login};

/// Opens a session with the token of a slot.
///
/// # Safety
///
/// Every pointer is null or good for its length, as [`super`] says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn C_OpenSession(
    slot: CK_SLOT_ID,
    flags: CK_FLAGS,
    _application: CK_VOID_PTR,
    _notify: CK_NOTIFY,
    session: CK_SESSION_HANDLE_PTR,
) -> CK_RV {
    call("C_OpenSession", |module| {
        // SAFETY: the caller vouches for `session`.
        let out = unsafe { Out::new(session) }?;
        if flags & CKF_SERIAL_SESSION == 0 {
            return Err(Error::SessionParallel);
        }
        out.put(module.with(|state| state.open_session(slot, flags & CKF_RW_SESSION != 0))?);
        Ok(())
    })
}

/// Ends a session and its operations.
///
/// # Safety
///
/// Every pointer is null or good for its length, as [`super`] says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn C_CloseSession(session: CK_SESSION_HANDLE) -> CK_RV {
    call("C_CloseSession", |module| {
        module.with(|state| state.close_session(session))
    })
}

/// Ends all sessions with a slot.
///
/// # Safety
///
/// Every pointer is null or good for its length, as [`super`] says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn C_CloseAllSessions(slot: CK_SLOT_ID) -> CK_RV {
    call("C_CloseAllSessions", |module| {
        module.with(|state| state.close_all_sessions(slot))
    })
}

/// Ends operations of a session.
///
/// # Safety
///
/// Every pointer is null or good for its length, as [`super`] says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn C_SessionCancel(session: CK_SESSION_HANDLE, flags: CK_FLAGS) -> CK_RV {
    call("C_SessionCancel", |module| {
        module.with(|state| login::cancel(state, session, flags))
    })
}

/// The state of a session.
///
/// # Safety
///
/// Every pointer is null or good for its length, as [`super`] says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn C_GetSessionInfo(
    session: CK_SESSION_HANDLE,
    info: CK_SESSION_INFO_PTR,
) -> CK_RV {
    call("C_GetSessionInfo", |module| {
        // SAFETY: the caller vouches for `info`.
        let out = unsafe { Out::new(info) }?;
        out.put(module.with(|state| login::session_info(state, session))?);
        Ok(())
    })
}

/// Logs a user or the SO in, for all sessions with the token.
///
/// # Safety
///
/// Every pointer is null or good for its length, as [`super`] says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn C_Login(
    session: CK_SESSION_HANDLE,
    user: CK_USER_TYPE,
    pin: CK_UTF8CHAR_PTR,
    pin_len: CK_ULONG,
) -> CK_RV {
    call("C_Login", |module| {
        // SAFETY: the caller vouches for `pin`.
        let pin = unsafe { input(pin, pin_len) }?;
        module.with(|state| login::login(state, session, user, pin))
    })
}

/// The same with a user name. Tokens here have no user names.
///
/// # Safety
///
/// Every pointer is null or good for its length, as [`super`] says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn C_LoginUser(
    session: CK_SESSION_HANDLE,
    user: CK_USER_TYPE,
    pin: CK_UTF8CHAR_PTR,
    pin_len: CK_ULONG,
    name: CK_UTF8CHAR_PTR,
    name_len: CK_ULONG,
) -> CK_RV {
    call("C_LoginUser", |module| {
        // SAFETY: the caller vouches for `pin`.
        let pin = unsafe { input(pin, pin_len) }?;
        // SAFETY: the caller vouches for `name`.
        let name = unsafe { input(name, name_len) }?;
        module.with(|state| {
            state.session(session)?;
            if !name.is_empty() {
                return Err(Error::ArgumentsBad);
            }
            login::login(state, session, user, pin)
        })
    })
}

/// Logs out from the token.
///
/// # Safety
///
/// Every pointer is null or good for its length, as [`super`] says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn C_Logout(session: CK_SESSION_HANDLE) -> CK_RV {
    call("C_Logout", |module| {
        module.with(|state| login::logout(state, session))
    })
}
