//! The operations of a session, by the rules of the standard: what begins and ends them, and
//! what an error leaves active.

use std::sync::Arc;

use cryptoki_sys::*;
use token_store::{Key, OpenToken};

use crate::{
    answer::{Answer, Room},
    error::{Error, Result},
    mechanism::Mechanism,
    module::State,
    object::Object,
};

pub(crate) mod sign;

use sign::{Decryption, Digesting, Signature, Verification};

type Bytes = Answer<u8>;

/// What a call for a signature comes to.
pub(crate) enum Signed {
    /// A length, or what was asked for.
    Answer(Bytes),
    /// Work for the chip, in which other threads go on.
    Work(Box<Signature>, Arc<OpenToken>),
}

impl Signed {
    /// Does the work; not to be called with the state locked.
    pub(crate) fn finish(self) -> Result<Bytes> {
        match self {
            Self::Answer(answer) => Ok(answer),
            Self::Work(sign, token) => sign.finish(&token).map(Answer::Data),
        }
    }
}

const NOT_INITIALIZED: Error = Error::OperationNotInitialized;

// Signing.

/// `C_SignInit`.
pub(crate) fn sign_init(
    state: &mut State,
    handle: CK_SESSION_HANDLE,
    mechanism: Option<Mechanism>,
    key: CK_OBJECT_HANDLE,
) -> Result<()> {
    let session = state.session(handle)?;
    let Some(mechanism) = mechanism else {
        session.sign = None;
        return Ok(());
    };
    if session.sign.is_some() {
        return Err(Error::OperationActive);
    }
    let operation = Signature::new(&mechanism, private_key(state, handle, key)?)?;
    state.session(handle)?.sign = Some(operation);
    Ok(())
}

/// `C_Sign`: a length query, or a buffer that is too small, leaves the operation active and
/// asks nothing of the chip.
pub(crate) fn sign(
    state: &mut State,
    handle: CK_SESSION_HANDLE,
    data: &[u8],
    room: Room,
) -> Result<Signed> {
    let place = &mut state.session(handle)?.sign;
    let sign = place.as_ref().ok_or(NOT_INITIALIZED)?;
    if sign.in_parts {
        return Err(Error::OperationActive);
    }
    let size = sign.size();
    if !room.admits(size)? {
        return Ok(Signed::Answer(Answer::Length(size)));
    }
    let mut sign = place.take().ok_or(NOT_INITIALIZED)?;
    sign.update(data)?;
    finish(state, handle, sign)
}

/// `C_SignUpdate`.
pub(crate) fn sign_update(state: &mut State, handle: CK_SESSION_HANDLE, part: &[u8]) -> Result<()> {
    let place = &mut state.session(handle)?.sign;
    let sign = place.as_mut().ok_or(NOT_INITIALIZED)?;
    sign.in_parts = true;
    let updated = sign.update(part);
    if updated.is_err() {
        *place = None;
    }
    updated
}

/// `C_SignFinal`.
pub(crate) fn sign_final(
    state: &mut State,
    handle: CK_SESSION_HANDLE,
    room: Room,
) -> Result<Signed> {
    let place = &mut state.session(handle)?.sign;
    let size = place.as_ref().ok_or(NOT_INITIALIZED)?.size();
    if !room.admits(size)? {
        return Ok(Signed::Answer(Answer::Length(size)));
    }
    let sign = place.take().ok_or(NOT_INITIALIZED)?;
    finish(state, handle, sign)
}

fn finish(state: &mut State, handle: CK_SESSION_HANDLE, sign: Signature) -> Result<Signed> {
    let slot = state.session(handle)?.slot;
    check_authenticated(sign.key(), sign.authenticated)?;
    let open = state.open_token(slot)?;
    Ok(Signed::Work(Box::new(sign), open))
}

/// A key that asks for the PIN at each use has to have been given it for this one.
pub(crate) fn check_authenticated(key: &Key, authenticated: bool) -> Result<()> {
    if key.always_authenticate() && !authenticated {
        return Err(Error::NotLoggedIn);
    }
    Ok(())
}

pub(crate) fn private_key(
    state: &mut State,
    handle: CK_SESSION_HANDLE,
    key: CK_OBJECT_HANDLE,
) -> Result<Arc<Key>> {
    let slot = state.session(handle)?.slot;
    let object = key_object(state, slot, key)?;
    object
        .private_key()
        .cloned()
        .ok_or(Error::KeyFunctionNotPermitted)
}

/// An object that is a key of some kind.
fn key_object(state: &mut State, slot: CK_SLOT_ID, key: CK_OBJECT_HANDLE) -> Result<Arc<Object>> {
    let object = state.object(slot, key).map_err(|err| match err {
        Error::ObjectHandleInvalid => Error::KeyHandleInvalid,
        err => err,
    })?;
    if object.public_key().is_none() {
        return Err(Error::KeyHandleInvalid);
    }
    Ok(object)
}

// Verifying.

/// `C_VerifyInit`.
pub(crate) fn verify_init(
    state: &mut State,
    handle: CK_SESSION_HANDLE,
    mechanism: Option<Mechanism>,
    key: CK_OBJECT_HANDLE,
) -> Result<()> {
    let session = state.session(handle)?;
    let Some(mechanism) = mechanism else {
        session.verify = None;
        return Ok(());
    };
    if session.verify.is_some() {
        return Err(Error::OperationActive);
    }
    let slot = session.slot;
    let object = key_object(state, slot, key)?;
    let public = match (object.private_key(), object.public_key()) {
        (None, Some(public)) => public.clone(),
        _ => return Err(Error::KeyFunctionNotPermitted),
    };
    let operation = Verification::new(&mechanism, public)?;
    state.session(handle)?.verify = Some(operation);
    Ok(())
}

/// `C_Verify`.
pub(crate) fn verify(
    state: &mut State,
    handle: CK_SESSION_HANDLE,
    data: &[u8],
    signature: &[u8],
) -> Result<()> {
    let place = &mut state.session(handle)?.verify;
    if place.as_ref().ok_or(NOT_INITIALIZED)?.in_parts {
        return Err(Error::OperationActive);
    }
    let mut verify = place.take().ok_or(NOT_INITIALIZED)?;
    verify.update(data)?;
    verify.finish(signature)
}

/// `C_VerifyUpdate`.
pub(crate) fn verify_update(
    state: &mut State,
    handle: CK_SESSION_HANDLE,
    part: &[u8],
) -> Result<()> {
    let place = &mut state.session(handle)?.verify;
    let verify = place.as_mut().ok_or(NOT_INITIALIZED)?;
    verify.in_parts = true;
    let updated = verify.update(part);
    if updated.is_err() {
        *place = None;
    }
    updated
}

/// `C_VerifyFinal`.
pub(crate) fn verify_final(
    state: &mut State,
    handle: CK_SESSION_HANDLE,
    signature: &[u8],
) -> Result<()> {
    let verify = state.session(handle)?.verify.take();
    verify.ok_or(NOT_INITIALIZED)?.finish(signature)
}

// Hashing.

/// `C_DigestInit`.
pub(crate) fn digest_init(
    state: &mut State,
    handle: CK_SESSION_HANDLE,
    mechanism: Option<Mechanism>,
) -> Result<()> {
    let place = &mut state.session(handle)?.digest;
    match mechanism {
        None => *place = None,
        Some(_) if place.is_some() => return Err(Error::OperationActive),
        Some(mechanism) => *place = Some(Digesting::new(&mechanism)?),
    }
    Ok(())
}

/// `C_Digest`.
pub(crate) fn digest(
    state: &mut State,
    handle: CK_SESSION_HANDLE,
    data: &[u8],
    room: Room,
) -> Result<Bytes> {
    let place = &mut state.session(handle)?.digest;
    let digest = place.as_ref().ok_or(NOT_INITIALIZED)?;
    if digest.in_parts {
        return Err(Error::OperationActive);
    }
    if !room.admits(digest.size())? {
        return Ok(Answer::Length(digest.size()));
    }
    let mut digest = place.take().ok_or(NOT_INITIALIZED)?;
    digest.update(data);
    Ok(Answer::Data(digest.finish()))
}

/// `C_DigestUpdate`.
pub(crate) fn digest_update(
    state: &mut State,
    handle: CK_SESSION_HANDLE,
    part: &[u8],
) -> Result<()> {
    let digest = state
        .session(handle)?
        .digest
        .as_mut()
        .ok_or(NOT_INITIALIZED)?;
    digest.in_parts = true;
    digest.update(part);
    Ok(())
}

/// `C_DigestFinal`.
pub(crate) fn digest_final(
    state: &mut State,
    handle: CK_SESSION_HANDLE,
    room: Room,
) -> Result<Bytes> {
    let place = &mut state.session(handle)?.digest;
    let size = place.as_ref().ok_or(NOT_INITIALIZED)?.size();
    if !room.admits(size)? {
        return Ok(Answer::Length(size));
    }
    Ok(Answer::Data(place.take().ok_or(NOT_INITIALIZED)?.finish()))
}

// Decrypting.

/// `C_DecryptInit`.
pub(crate) fn decrypt_init(
    state: &mut State,
    handle: CK_SESSION_HANDLE,
    mechanism: Option<Mechanism>,
    key: CK_OBJECT_HANDLE,
) -> Result<()> {
    let session = state.session(handle)?;
    let Some(mechanism) = mechanism else {
        session.decrypt = None;
        return Ok(());
    };
    if session.decrypt.is_some() {
        return Err(Error::OperationActive);
    }
    let operation = Decryption::new(mechanism, private_key(state, handle, key)?)?;
    state.session(handle)?.decrypt = Some(operation);
    Ok(())
}

/// `C_Decrypt`. The length of the message is known only when it is decrypted, so a query gets
/// the most that it can be.
pub(crate) fn decrypt(
    state: &mut State,
    handle: CK_SESSION_HANDLE,
    data: &[u8],
    room: Room,
) -> Result<Bytes> {
    let session = state.session(handle)?;
    let slot = session.slot;
    let decrypt = session.decrypt.clone().ok_or(NOT_INITIALIZED)?;
    if room == Room::Query {
        return Ok(Answer::Length(decrypt.max_size()));
    }
    let outcome = check_authenticated(decrypt.key(), decrypt.authenticated)
        .and_then(|()| state.open_token(slot))
        .and_then(|open| decrypt.finish(&open, data))
        .and_then(|message| room.give(message));
    if !matches!(outcome, Err(Error::BufferTooSmall(_))) {
        state.session(handle)?.decrypt = None;
    }
    outcome
}
