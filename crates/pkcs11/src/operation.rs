//! The operations of a session, as the functions of the standard name them.

use std::sync::Arc;

use cryptoki_sys::*;
use token_store::{Key, OpenToken};

use crate::{
    answer::{Answer, Room},
    error::{Error, Result},
    mechanism::Mechanism,
    module::State,
    session::Session,
};

pub(crate) mod active;
pub(crate) mod decrypt;
pub(crate) mod digest;
mod enciphering;
pub(crate) mod encrypt;
mod input;
pub(crate) mod sign;
pub(crate) mod verify;

use active::{Active, Next};
use decrypt::Decryption;
use digest::Digesting;
use encrypt::Encryption;
use sign::Signature;
use verify::Verification;

type Bytes = Answer<u8>;

/// The outcome of a call for a signature.
pub(crate) enum Signed {
    /// A length, or the result.
    Answer(Bytes),
    /// Work for the chip. Other threads go on meanwhile.
    Work(Box<Signature>, Arc<OpenToken>),
}

impl Signed {
    /// Does the work. Call it without the lock of the state.
    pub(crate) fn finish(self) -> Result<Bytes> {
        match self {
            Self::Answer(answer) => Ok(answer),
            Self::Work(sign, token) => sign.finish(&token).map(Answer::Data),
        }
    }
}

/// The kinds of operation that are begun by an `…Init` function and ended by another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Sign,
    Verify,
    Digest,
    Encrypt,
    Decrypt,
}

/// Ends an operation, if one is active, for a call whose arguments cannot be used.
pub(crate) fn end(state: &mut State, handle: CK_SESSION_HANDLE, kind: Kind) -> Result<()> {
    let session = state.session(handle)?;
    match kind {
        Kind::Sign => session.sign.cancel(),
        Kind::Verify => session.verify.cancel(),
        Kind::Digest => session.digest.cancel(),
        Kind::Encrypt => session.encrypt.cancel(),
        Kind::Decrypt => session.decrypt.cancel(),
    }
    Ok(())
}

/// Finds the place of a kind of operation in a session.
type PlaceOf<T> = fn(&mut Session) -> &mut Active<T>;

/// A function that begins an operation, or ends one if no mechanism is given.
fn init<T>(
    state: &mut State,
    handle: CK_SESSION_HANDLE,
    mechanism: Option<Mechanism>,
    place: PlaceOf<T>,
    make: impl FnOnce(&mut State, Mechanism) -> Result<T>,
) -> Result<()> {
    let active = place(state.session(handle)?);
    let Some(mechanism) = mechanism else {
        active.cancel();
        return Ok(());
    };
    active.check_free()?;
    let operation = make(state, mechanism)?;
    place(state.session(handle)?).begin(operation)
}

/// `C_SignInit`.
pub(crate) fn sign_init(
    state: &mut State,
    handle: CK_SESSION_HANDLE,
    mechanism: Option<Mechanism>,
    key: CK_OBJECT_HANDLE,
) -> Result<()> {
    let place: PlaceOf<_> = |session| &mut session.sign;
    init(state, handle, mechanism, place, |state, mechanism| {
        state.use_key(handle, key, (CKA_SIGN, mechanism.kind), |key| {
            Signature::new(&mechanism, key.as_private()?)
        })
    })
}

/// `C_Sign`: a length query, or a buffer that is too small, asks nothing of the chip.
pub(crate) fn sign(
    state: &mut State,
    handle: CK_SESSION_HANDLE,
    data: &[u8],
    room: Room,
) -> Result<Signed> {
    let next = state.session(handle)?.sign.whole(room, Signature::size)?;
    finish_signing(state, handle, next, data)
}

/// `C_SignUpdate`.
pub(crate) fn sign_update(state: &mut State, handle: CK_SESSION_HANDLE, part: &[u8]) -> Result<()> {
    let active = &mut state.session(handle)?.sign;
    active.part(|sign| sign.update(part))
}

/// `C_SignFinal`.
pub(crate) fn sign_final(
    state: &mut State,
    handle: CK_SESSION_HANDLE,
    room: Room,
) -> Result<Signed> {
    let next = state.session(handle)?.sign.last(room, Signature::size)?;
    finish_signing(state, handle, next, &[])
}

fn finish_signing(
    state: &mut State,
    handle: CK_SESSION_HANDLE,
    next: Next<Signature>,
    data: &[u8],
) -> Result<Signed> {
    let mut sign = match next {
        Next::Length(length) => return Ok(Signed::Answer(Answer::Length(length))),
        Next::Finish(sign) => sign,
    };
    sign.update(data)?;
    let slot = state.session(handle)?.slot;
    check_authenticated(sign.key(), sign.authenticated)?;
    let open = state.open_token(slot)?;
    Ok(Signed::Work(Box::new(sign), open))
}

/// Refuses a `CKA_ALWAYS_AUTHENTICATE` key unless `CKU_CONTEXT_SPECIFIC` came before this
/// operation.
fn check_authenticated(key: &Key, authenticated: bool) -> Result<()> {
    if key.always_authenticate() && !authenticated {
        return Err(Error::NotLoggedIn);
    }
    Ok(())
}

/// `C_VerifyInit`.
pub(crate) fn verify_init(
    state: &mut State,
    handle: CK_SESSION_HANDLE,
    mechanism: Option<Mechanism>,
    key: CK_OBJECT_HANDLE,
) -> Result<()> {
    let place: PlaceOf<_> = |session| &mut session.verify;
    init(state, handle, mechanism, place, |state, mechanism| {
        state.use_key(handle, key, (CKA_VERIFY, mechanism.kind), |key| {
            Verification::new(&mechanism, key.as_public()?)
        })
    })
}

/// `C_Verify`.
pub(crate) fn verify(
    state: &mut State,
    handle: CK_SESSION_HANDLE,
    data: &[u8],
    signature: &[u8],
) -> Result<()> {
    let mut verify = state.session(handle)?.verify.take_whole()?;
    verify.update(data)?;
    verify.finish(signature)
}

/// `C_VerifyUpdate`.
pub(crate) fn verify_update(
    state: &mut State,
    handle: CK_SESSION_HANDLE,
    part: &[u8],
) -> Result<()> {
    let active = &mut state.session(handle)?.verify;
    active.part(|verify| verify.update(part))
}

/// `C_VerifyFinal`.
pub(crate) fn verify_final(
    state: &mut State,
    handle: CK_SESSION_HANDLE,
    signature: &[u8],
) -> Result<()> {
    state.session(handle)?.verify.take_last()?.finish(signature)
}

/// `C_DigestInit`.
pub(crate) fn digest_init(
    state: &mut State,
    handle: CK_SESSION_HANDLE,
    mechanism: Option<Mechanism>,
) -> Result<()> {
    let place: PlaceOf<_> = |session| &mut session.digest;
    init(state, handle, mechanism, place, |_, mechanism| {
        Digesting::new(&mechanism)
    })
}

/// `C_Digest`.
pub(crate) fn digest(
    state: &mut State,
    handle: CK_SESSION_HANDLE,
    data: &[u8],
    room: Room,
) -> Result<Bytes> {
    let next = state.session(handle)?.digest.whole(room, Digesting::size)?;
    Ok(finish_digesting(next, data))
}

/// `C_DigestUpdate`.
pub(crate) fn digest_update(
    state: &mut State,
    handle: CK_SESSION_HANDLE,
    part: &[u8],
) -> Result<()> {
    state.session(handle)?.digest.part(|digest| {
        digest.update(part);
        Ok(())
    })
}

/// `C_DigestFinal`.
pub(crate) fn digest_final(
    state: &mut State,
    handle: CK_SESSION_HANDLE,
    room: Room,
) -> Result<Bytes> {
    let next = state.session(handle)?.digest.last(room, Digesting::size)?;
    Ok(finish_digesting(next, &[]))
}

fn finish_digesting(next: Next<Digesting>, data: &[u8]) -> Bytes {
    match next {
        Next::Length(length) => Answer::Length(length),
        Next::Finish(mut digest) => {
            digest.update(data);
            Answer::Data(digest.finish())
        }
    }
}

/// `C_EncryptInit`.
pub(crate) fn encrypt_init(
    state: &mut State,
    handle: CK_SESSION_HANDLE,
    mechanism: Option<Mechanism>,
    key: CK_OBJECT_HANDLE,
) -> Result<()> {
    let place: PlaceOf<_> = |session| &mut session.encrypt;
    init(state, handle, mechanism, place, |state, mechanism| {
        state.use_key(handle, key, (CKA_ENCRYPT, mechanism.kind), |key| {
            Encryption::new(mechanism, key.as_public()?)
        })
    })
}

/// `C_Encrypt`.
pub(crate) fn encrypt(
    state: &mut State,
    handle: CK_SESSION_HANDLE,
    message: &[u8],
    room: Room,
) -> Result<Bytes> {
    let active = &mut state.session(handle)?.encrypt;
    match active.whole(room, Encryption::size)? {
        Next::Length(length) => Ok(Answer::Length(length)),
        Next::Finish(encrypt) => encrypt.finish(message).map(Answer::Data),
    }
}

/// Refuses a part of a message. The RSA mechanisms take a message in one call, so the operation
/// ends (PKCS#11 3.1, section 6.1.6).
pub(crate) fn refuse_part(state: &mut State, handle: CK_SESSION_HANDLE, kind: Kind) -> Result<()> {
    let session = state.session(handle)?;
    match kind {
        Kind::Encrypt => session.encrypt.part(|_| Err(Error::NotSupported)),
        Kind::Decrypt => session.decrypt.part(|_| Err(Error::NotSupported)),
        Kind::Sign | Kind::Verify | Kind::Digest => Err(Error::Internal),
    }
}

/// `C_DecryptInit`.
pub(crate) fn decrypt_init(
    state: &mut State,
    handle: CK_SESSION_HANDLE,
    mechanism: Option<Mechanism>,
    key: CK_OBJECT_HANDLE,
) -> Result<()> {
    let place: PlaceOf<_> = |session| &mut session.decrypt;
    init(state, handle, mechanism, place, |state, mechanism| {
        state.use_key(handle, key, (CKA_DECRYPT, mechanism.kind), |key| {
            Decryption::new(mechanism, key.as_private()?)
        })
    })
}

/// `C_Decrypt`. The length of the message is known only after decryption, so a length query gets
/// the maximum.
pub(crate) fn decrypt(
    state: &mut State,
    handle: CK_SESSION_HANDLE,
    data: &[u8],
    room: Room,
) -> Result<Bytes> {
    let session = state.session(handle)?;
    let slot = session.slot;
    let decrypt = session.decrypt.peek_whole()?.clone();
    if room == Room::Query {
        return Ok(Answer::Length(decrypt.max_size()));
    }
    let outcome = check_authenticated(decrypt.key(), decrypt.authenticated)
        .and_then(|()| state.open_token(slot))
        .and_then(|open| decrypt.finish(&open, data))
        .and_then(|message| room.give(message));
    if !matches!(outcome, Err(Error::BufferTooSmall(_))) {
        state.session(handle)?.decrypt.cancel();
    }
    outcome
}
