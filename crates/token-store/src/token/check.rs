//! The checks of a stored token. An attacker who can write the store can write anything into it.

use super::{MAX_TRIES, MIN_TRIES, Token, Tries, WallKind, check_label, parts::TokenObjects};
use crate::{Error, Result};

/// The owner's NV handles for general use, where PIN counters are.
///
/// # Source
///
/// TCG Registry of Reserved TPM 2.0 Handles, section 2.2.2.
pub(super) const COUNTER_HANDLES: std::ops::RangeInclusive<u32> = 0x0180_0000..=0x01bf_ffff;

/// Refuses a token that this crate does not write: with numbers out of range, missing parts, or
/// parts that do not belong together.
///
/// All Names are computed from the public areas. No stored Name is used.
///
/// # Errors
///
/// [`Error::Corrupt`].
pub(super) fn parts(token: &Token) -> Result<()> {
    let is_hex = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    if token.serial.len() != 16 || !token.serial.bytes().all(is_hex) {
        return Err(Error::corrupt("its serial number is none"));
    }
    if check_label(&token.label).is_err() {
        return Err(Error::corrupt("its label cannot be one"));
    }
    let has_counter = token.wall == WallKind::Counter;
    let counter_parts = [
        token.nv_handle.is_some(),
        token.max_tries.is_some(),
        token.parts.guard.is_some(),
    ];
    if counter_parts
        .iter()
        .any(|is_there| *is_there != has_counter)
    {
        return Err(Error::corrupt("its parts are not those of its PIN wall"));
    }
    if let Some(handle) = token.nv_handle
        && !COUNTER_HANDLES.contains(&handle)
    {
        let what = format!("{handle:#010x} is not the handle of a PIN counter");
        return Err(Error::corrupt(what));
    }
    if let Some(max) = token.max_tries
        && !(MIN_TRIES..=MAX_TRIES).contains(&max)
    {
        return Err(Error::corrupt(format!(
            "its limit of {max} wrong PINs is not one from {MIN_TRIES} to {MAX_TRIES}"
        )));
    }
    if has_counter && token.pin_is_set && token.parts.secret.is_none() {
        return Err(Error::corrupt("it lacks the secret that changes its PIN"));
    }
    if token.so_pin_is_set && token.parts.so.is_none() {
        return Err(Error::corrupt("it lacks its SO object"));
    }
    if token.pin_is_set && !token.login_required() {
        return Err(Error::corrupt("it has a PIN and no PIN wall"));
    }
    for tries in [token.tries, token.so_tries].into_iter().flatten() {
        let Tries { left, max } = tries;
        if left > max {
            return Err(Error::corrupt("it has more tries left than there are"));
        }
    }
    TokenObjects::of(token).map(drop)
}
