//! Slots and tokens, as the standard describes them.

use cryptoki_sys::*;
use token_store::{
    MAX_PIN_LEN, MIN_PIN_LEN, Pin, PinError, SoPin, SoToken, Store, Token, Tries, WallKind,
    token::{self, InitOptions, NoCounter},
};
use tpm_core::OwnerAuth;

use crate::{
    error::{Error, Result},
    module::{Login, State},
};

/// A text in a field of `N` bytes, filled with spaces and cut between characters.
pub(crate) fn padded<const N: usize>(text: &str) -> [CK_UTF8CHAR; N] {
    let mut end = text.len().min(N);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let mut out = [b' '; N];
    out[..end].copy_from_slice(&text.as_bytes()[..end]);
    out
}

/// This library's version.
pub(crate) const VERSION: CK_VERSION = CK_VERSION { major: 0, minor: 1 };
const NO_VERSION: CK_VERSION = CK_VERSION { major: 0, minor: 0 };
const MANUFACTURER: &str = "tpmssh";

pub(crate) fn info() -> CK_INFO {
    CK_INFO {
        cryptokiVersion: CK_VERSION { major: 3, minor: 0 },
        manufacturerID: padded(MANUFACTURER),
        flags: 0,
        libraryDescription: padded("SSH keys in a TPM 2.0"),
        libraryVersion: VERSION,
    }
}

pub(crate) fn slot_info(state: &mut State, slot: CK_SLOT_ID) -> Result<CK_SLOT_INFO> {
    let description = match state.token_in(slot)? {
        Some(token) => format!("TPM 2.0 token {}", token.serial),
        None => "TPM 2.0, for a new token".to_owned(),
    };
    Ok(CK_SLOT_INFO {
        slotDescription: padded(&description),
        manufacturerID: padded(MANUFACTURER),
        flags: CKF_TOKEN_PRESENT | CKF_HW_SLOT,
        hardwareVersion: NO_VERSION,
        firmwareVersion: NO_VERSION,
    })
}

pub(crate) fn token_info(state: &mut State, slot: CK_SLOT_ID) -> Result<CK_TOKEN_INFO> {
    let token = state.token_in(slot)?.cloned();
    let count = |rw_only: bool| {
        state
            .sessions_of(slot)
            .filter(|s| !rw_only || s.read_write)
            .count() as CK_ULONG
    };
    let (sessions, rw_sessions) = (count(false), count(true));
    let read_only = state.store().is_ok_and(Store::is_read_only);
    let (label, serial, mut flags) = match &token {
        Some(token) => (token.label.as_str(), token.serial.as_str(), flags(token)),
        None => ("", "", 0),
    };
    if read_only {
        flags |= CKF_WRITE_PROTECTED;
    }
    Ok(CK_TOKEN_INFO {
        label: padded(label),
        manufacturerID: padded(MANUFACTURER),
        model: padded("TPM 2.0"),
        serialNumber: padded(serial),
        flags: flags | CKF_RNG,
        ulMaxSessionCount: CK_EFFECTIVELY_INFINITE,
        ulSessionCount: sessions,
        ulMaxRwSessionCount: CK_EFFECTIVELY_INFINITE,
        ulRwSessionCount: rw_sessions,
        ulMaxPinLen: MAX_PIN_LEN as CK_ULONG,
        ulMinPinLen: MIN_PIN_LEN as CK_ULONG,
        ulTotalPublicMemory: CK_UNAVAILABLE_INFORMATION,
        ulFreePublicMemory: CK_UNAVAILABLE_INFORMATION,
        ulTotalPrivateMemory: CK_UNAVAILABLE_INFORMATION,
        ulFreePrivateMemory: CK_UNAVAILABLE_INFORMATION,
        hardwareVersion: NO_VERSION,
        firmwareVersion: NO_VERSION,
        utcTime: [b' '; 16],
    })
}

/// The flags of a token, by the last known state of its PINs.
fn flags(token: &Token) -> CK_FLAGS {
    const USER: [CK_FLAGS; 3] = [
        CKF_USER_PIN_COUNT_LOW,
        CKF_USER_PIN_FINAL_TRY,
        CKF_USER_PIN_LOCKED,
    ];
    const SO: [CK_FLAGS; 3] = [
        CKF_SO_PIN_COUNT_LOW,
        CKF_SO_PIN_FINAL_TRY,
        CKF_SO_PIN_LOCKED,
    ];
    let mut flags = CKF_TOKEN_INITIALIZED;
    if token.wall != WallKind::None {
        flags |= CKF_LOGIN_REQUIRED;
    }
    if token.pin_is_set {
        flags |= CKF_USER_PIN_INITIALIZED;
    }
    flags | tries(token.tries, USER) | tries(token.so_tries, SO)
}

fn tries(tries: Option<Tries>, [low, last, locked]: [CK_FLAGS; 3]) -> CK_FLAGS {
    match tries {
        Some(Tries { left: 0, .. }) => low | locked,
        Some(Tries { left: 1, max }) if max > 1 => low | last,
        Some(Tries { left, max }) if left < max => low,
        _ => 0,
    }
}

/// A user PIN to be proven. A malformed one costs no try.
pub(crate) fn proven_pin(typed: &[u8]) -> Result<Pin> {
    Pin::new(typed).map_err(|_| Error::PinIncorrect)
}

/// An SO PIN to be proven.
pub(crate) fn proven_so_pin(typed: &[u8]) -> Result<SoPin> {
    SoPin::new(typed).map_err(|_| Error::PinIncorrect)
}

/// Whether the token's own counter takes no more user PINs, by its last known state.
fn is_locked(token: &Token) -> bool {
    token.wall == WallKind::Counter && token.tries.is_some_and(|tries| tries.left == 0)
}

/// The error for a new PIN that is not valid.
fn refused_pin(err: PinError) -> Error {
    match err {
        PinError::TooShort { .. } | PinError::TooLong => Error::PinLenRange,
        _ => Error::PinInvalid,
    }
}

/// `C_InitToken`: a new token in the empty slot, or an existing one made anew.
pub(crate) fn init_token(
    state: &mut State,
    slot: CK_SLOT_ID,
    so_pin: &[u8],
    label: &[u8; 32],
) -> Result<()> {
    let label = str::from_utf8(label)
        .map_err(|_| Error::ArgumentsBad)?
        .trim_end_matches(' ');
    let existing = state.token_in(slot)?.cloned();
    if state.sessions_of(slot).next().is_some() {
        return Err(Error::SessionExists);
    }
    token::check_label(label).map_err(|_| Error::ArgumentsBad)?;
    let tpm = state.tpm()?;
    let token = match existing {
        Some(token) => {
            let so = proven_so_pin(so_pin)?;
            token::reinit(state.store_mut()?, &tpm, &token, label, &so)?
        }
        None => {
            let so = SoPin::new(so_pin).map_err(refused_pin)?;
            // The function cannot tell its caller about a weaker wall, so it takes none.
            let options = InitOptions {
                wall: state.pin_wall()?.or(Some(WallKind::Counter)),
                ..InitOptions::new(label)
            };
            let owner = OwnerAuth::empty();
            token::init(state.make_store()?, &tpm, &options, Some(&so), None, &owner)
                .map_err(|err| match NoCounter::from_failure(&err, &owner) {
                    Some(reason) => token_store::Error::NoCounterWall(reason),
                    None => err,
                })?
                .token
        }
    };
    state.place_token(slot, token.id)
}

/// `C_InitPIN`: the SO sets the user's PIN.
pub(crate) fn init_pin(state: &mut State, session: CK_SESSION_HANDLE, pin: &[u8]) -> Result<()> {
    let slot = state.session(session)?.slot;
    let pin = Pin::new(pin).map_err(refused_pin);
    let (so, store) = state.so_and_store(slot)?;
    so.reset_pin(store, &pin?)?;
    state.forget_objects(slot);
    Ok(())
}

/// `C_SetPIN`: the logged-in person changes the own PIN; without a login, the user does.
///
/// Without a login and with a locked user PIN, the old PIN may be the SO PIN, which unlocks the
/// user PIN. `pkcs11-tool --unlock-pin` calls it in this way. If it is not the SO PIN either, the answer
/// is that of a locked user PIN.
pub(crate) fn set_pin(
    state: &mut State,
    session: CK_SESSION_HANDLE,
    old: &[u8],
    new: &[u8],
) -> Result<()> {
    let session = state.session(session)?;
    let slot = session.slot;
    if !session.read_write {
        return Err(Error::SessionReadOnly);
    }
    let token = state.token(slot)?;
    let tpm = state.tpm()?;
    if matches!(state.login(slot), Some(Login::So(_))) {
        let new = SoPin::new(new).map_err(refused_pin)?;
        let old = proven_so_pin(old)?;
        // A second login proves the old PIN.
        state.login_so(slot, &old)?;
        let (so, store) = state.so_and_store(slot)?;
        so.change_so_pin(store, &new)?;
    } else if state.login(slot).is_none() && is_locked(&token) {
        let new = Pin::new(new).map_err(refused_pin)?;
        let so = SoPin::new(old).map_err(|_| token_store::Error::PinLocked)?;
        let store = state.store_mut()?;
        SoToken::open(store, &tpm, &token, &so)
            .map_err(|err| match err {
                token_store::Error::WrongPin { .. } | token_store::Error::LastTry { .. } => {
                    token_store::Error::PinLocked
                }
                err => err,
            })?
            .reset_pin(store, &new)?;
    } else {
        let new = Pin::new(new).map_err(refused_pin)?;
        let old = proven_pin(old)?;
        let was_user = matches!(state.login(slot), Some(Login::User(_)));
        token::change_pin(state.store_mut()?, &tpm, &token, &old, &new)?;
        if was_user {
            state.login_user(slot, &new)?;
        }
    }
    state.forget_objects(slot);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cut_between_characters_and_filled_with_spaces() {
        assert_eq!(&padded::<6>("ab"), b"ab    ");
        assert_eq!(&padded::<3>("abcd"), b"abc");
        assert_eq!(padded::<3>("aää"), [b'a', 0xc3, 0xa4]);
        assert_eq!(&padded::<2>("aä"), b"a ");
    }

    #[test]
    fn flags_tell_how_many_tries_are_left() {
        let of = |left, max| tries(Some(Tries { left, max }), [1, 2, 4]);
        assert_eq!((of(3, 3), of(2, 3), of(1, 3), of(0, 3)), (0, 1, 3, 5));
        assert_eq!(tries(None, [1, 2, 4]), 0);
    }
}
