//! Logins, and the rights that they give to sessions.

use cryptoki_sys::*;
use token_store::WallKind;

use crate::{
    error::{Error, Result},
    module::{Login, State},
    slot::{proven_pin, proven_so_pin},
};

/// `C_Login`.
pub(crate) fn login(
    state: &mut State,
    handle: CK_SESSION_HANDLE,
    user: CK_USER_TYPE,
    pin: &[u8],
) -> Result<()> {
    let pin = without_line_end(pin);
    let slot = state.session(handle)?.slot;
    let token = state.token(slot)?;
    match user {
        CKU_USER => {
            match state.login(slot) {
                Some(Login::So(_)) => return Err(Error::AnotherLoggedIn),
                // A token without a PIN needs no login; a login changes nothing.
                Some(Login::User(_)) if token.login_required() => {
                    return Err(Error::AlreadyLoggedIn);
                }
                _ => {}
            }
            if token.wall == WallKind::None {
                return Ok(());
            }
            if !token.pin_is_set {
                return Err(Error::PinNotInitialized);
            }
            state.login_user(slot, &proven_pin(pin)?)
        }
        CKU_SO => {
            match state.login(slot) {
                Some(Login::So(_)) => return Err(Error::AlreadyLoggedIn),
                Some(Login::User(_)) => return Err(Error::AnotherLoggedIn),
                None => {}
            }
            if state.sessions_of(slot).any(|session| !session.read_write) {
                return Err(Error::SessionReadOnlyExists);
            }
            state.login_so(slot, &proven_so_pin(pin)?)
        }
        CKU_CONTEXT_SPECIFIC => context_login(state, handle, pin),
        _ => Err(Error::UserTypeInvalid),
    }
}

/// The PIN without the line feed that ends it in a file.
///
/// Some programs pass the whole file (`pin-source` of a PKCS#11 URI). No PIN has control
/// characters, so this never cuts a PIN.
fn without_line_end(pin: &[u8]) -> &[u8] {
    pin.strip_suffix(b"\n").unwrap_or(pin)
}

/// The login for one use of a key that asks for it each time.
fn context_login(state: &mut State, handle: CK_SESSION_HANDLE, pin: &[u8]) -> Result<()> {
    let session = state.session(handle)?;
    if session.sign.get_mut().is_none() && session.decrypt.get_mut().is_none() {
        return Err(Error::OperationNotInitialized);
    }
    let slot = session.slot;
    // A token without a PIN is open to everybody.
    if state.token(slot)?.login_required() {
        let pin = proven_pin(pin)?;
        let open = state.open_token(slot)?;
        open.verify(state.store()?, &pin)?;
    }
    let session = state.session(handle)?;
    if let Some(sign) = session.sign.get_mut() {
        sign.authenticated = true;
    }
    if let Some(decrypt) = session.decrypt.get_mut() {
        decrypt.authenticated = true;
    }
    Ok(())
}

/// `C_Logout`.
pub(crate) fn logout(state: &mut State, handle: CK_SESSION_HANDLE) -> Result<()> {
    let slot = state.session(handle)?.slot;
    if state.login(slot).is_none() {
        return Err(Error::NotLoggedIn);
    }
    state.set_login(slot, None);
    state
        .session_objects
        .remove_if(|object| object.slot == slot && object.object.private);
    Ok(())
}

/// `C_GetSessionInfo`.
pub(crate) fn session_info(
    state: &mut State,
    handle: CK_SESSION_HANDLE,
) -> Result<CK_SESSION_INFO> {
    let session = state.session(handle)?;
    let (slot, read_write) = (session.slot, session.read_write);
    let login_required = state.token(slot)?.login_required();
    let who = match (state.login(slot), read_write) {
        (Some(Login::So(_)), _) => CKS_RW_SO_FUNCTIONS,
        (Some(Login::User(_)), true) if login_required => CKS_RW_USER_FUNCTIONS,
        (Some(Login::User(_)), false) if login_required => CKS_RO_USER_FUNCTIONS,
        (_, true) => CKS_RW_PUBLIC_SESSION,
        (_, false) => CKS_RO_PUBLIC_SESSION,
    };
    let mode = if read_write { CKF_RW_SESSION } else { 0 };
    Ok(CK_SESSION_INFO {
        slotID: slot,
        state: who,
        flags: CKF_SERIAL_SESSION | mode,
        ulDeviceError: 0,
    })
}

/// `C_SessionCancel`.
pub(crate) fn cancel(state: &mut State, handle: CK_SESSION_HANDLE, flags: CK_FLAGS) -> Result<()> {
    let session = state.session(handle)?;
    if flags & CKF_FIND_OBJECTS != 0 {
        session.find = None;
    }
    if flags & CKF_SIGN != 0 {
        session.sign.cancel();
    }
    if flags & CKF_VERIFY != 0 {
        session.verify.cancel();
    }
    if flags & CKF_DIGEST != 0 {
        session.digest.cancel();
    }
    if flags & CKF_ENCRYPT != 0 {
        session.encrypt.cancel();
    }
    if flags & CKF_DECRYPT != 0 {
        session.decrypt.cancel();
    }
    Ok(())
}
