//! Making a token.

use rand_core::{OsRng, RngCore};
use tpm_core::srk::Unfit;
use tpm_core::{
    AuthValue, Blob, Capabilities, ChangeGuard, Error as TpmError, Operation, PinCounter, SoObject,
    Srk, TokenKey, Tpm, Wall,
};

use super::{
    DEFAULT_TRIES, MAX_TRIES, MIN_TRIES, NewToken, Parts, Token, Tries, WallKind, by_id,
    check_label, intent, parts,
};
use crate::{Error, Pin, Result, SoPin, Store, pin::Kdf};

/// What a new token is to be like.
#[derive(Debug, Clone)]
pub struct InitOptions {
    /// Its label; 1 to 32 bytes.
    pub label: String,
    /// What guards its keys. `None` takes a PIN counter where the chip can have one and falls
    /// back to the chip's lockout, see [`Initialized::fallback`].
    pub wall: Option<WallKind>,
    /// How many wrong PINs a PIN counter takes before it locks.
    pub max_tries: u32,
}

impl InitOptions {
    /// The defaults: a PIN counter where possible, and [`DEFAULT_TRIES`].
    #[must_use]
    pub fn new(label: impl Into<String>) -> Self {
        Self {
            label: label.into(),
            wall: None,
            max_tries: DEFAULT_TRIES,
        }
    }
}

/// Why a token has no PIN counter although nobody asked for anything else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Fallback {
    /// The chip does not have PIN counters.
    #[error("this TPM has no PIN counters")]
    NotSupported,
    /// The chip has no room for another NV index.
    #[error("this TPM has no room for another PIN counter")]
    NoSpace,
    /// The owner hierarchy has a password and it was not given.
    #[error("the owner password of this TPM is needed to make a PIN counter")]
    OwnerAuth,
}

impl Fallback {
    /// The reason in a failure to make a counter, if it is one that a fallback mends. A wrong
    /// owner password is not: somebody gave it, and wants to hear of it.
    fn from_failure(err: &Error, owner: &AuthValue) -> Option<Self> {
        match err {
            Error::Tpm(TpmError::NotSupported(_)) => Some(Self::NotSupported),
            Error::Tpm(TpmError::NvSpace) => Some(Self::NoSpace),
            Error::Tpm(TpmError::AuthRejected { .. }) if owner.is_empty() => Some(Self::OwnerAuth),
            _ => None,
        }
    }
}

/// A new token.
#[derive(Debug, Clone)]
pub struct Initialized {
    /// The token.
    pub token: Token,
    /// Why the storage root key that is there stays aside, and one of our own serves.
    pub own_srk: Option<Unfit>,
    /// Why it is guarded by the chip's lockout and not by a counter of its own, if so.
    pub fallback: Option<Fallback>,
}

/// Makes a token.
///
/// `pin` may be absent: then the SO sets it later ([`crate::SoToken::reset_pin`]), as
/// `C_InitToken` and `C_InitPIN` do. `so` may be absent: then nobody can ever reset the PIN.
/// With [`WallKind::None`] a `pin` is refused. `owner` is the owner hierarchy's authorization,
/// needed for a PIN counter and for making the storage root key where there is none.
///
/// # Errors
///
/// Those of the label and the number of tries, of the TPM and of the store. Nothing is left
/// in the store then, and nothing in the chip unless it broke off in the middle
/// ([`super::orphans`]).
pub fn init(
    store: &mut Store,
    tpm: &Tpm,
    options: &InitOptions,
    so: Option<&SoPin>,
    pin: Option<&Pin>,
    owner: &AuthValue,
) -> Result<Initialized> {
    check_label(&options.label)?;
    if !(MIN_TRIES..=MAX_TRIES).contains(&options.max_tries) {
        return Err(Error::BadTries);
    }
    if options.wall == Some(WallKind::None) && pin.is_some() {
        return Err(Error::NoPin);
    }
    if store.is_read_only() {
        return Err(Error::ReadOnly);
    }
    // The derivations take time, so they come before the chip is taken.
    let kdf = Kdf::new();
    let so_auth = so.map_or_else(|| Ok(AuthValue::random()), |so| kdf.so(so))?;
    let pin_auth = pin.map_or_else(|| Ok(AuthValue::random()), |pin| kdf.user(pin))?;

    let op = tpm.begin()?;
    let srk = Srk::find_or_create(&op, owner)?;
    let chip = ask_chip(&op, &srk)?;
    let own_srk = if srk.is_own() || !srk.is_persistent() {
        Srk::unfit(&op)?
    } else {
        None
    };
    let change_secret = AuthValue::random();
    let so_object = SoObject::create(&op, &srk, &so_auth, &change_secret)?;
    let draft = Draft {
        store,
        op: &op,
        options,
        srk,
        so_object,
        so_auth,
        change_secret,
        so_pin_is_set: so.is_some(),
        pin_auth,
        pin_is_set: pin.is_some(),
        kdf,
        chip,
    };
    let (token, fallback) = match options.wall {
        Some(WallKind::Counter) if !draft.chip.has_pin_indexes() => {
            return Err(TpmError::NotSupported("PIN counters in NV memory").into());
        }
        Some(WallKind::Counter) => (draft.behind_counter(owner)?, None),
        Some(WallKind::Lockout) => (draft.behind_lockout()?, None),
        Some(WallKind::None) => (draft.behind_nothing()?, None),
        None if !draft.chip.has_pin_indexes() => {
            (draft.behind_lockout()?, Some(Fallback::NotSupported))
        }
        None => match draft.behind_counter(owner) {
            Ok(token) => (token, None),
            Err(err) => {
                let reason = Fallback::from_failure(&err, owner).ok_or(err)?;
                (draft.behind_lockout()?, Some(reason))
            }
        },
    };
    Ok(Initialized {
        token,
        own_srk,
        fallback,
    })
}

/// What the chip can do.
///
/// The question goes out in a session that authenticates the answer. A proxy in front of a
/// simulator that plays another chip cannot authenticate what it says; its answer counts as well,
/// because nothing gets weaker by it without being said: an RSA key may decrypt in every chip,
/// and another wall is shown when the token is made.
pub(crate) fn ask_chip(op: &Operation<'_>, srk: &Srk) -> Result<Capabilities> {
    match Capabilities::read_authentic(op, srk) {
        Err(TpmError::ReplyForged { .. }) => {
            log::warn!("what the TPM says about itself is not authenticated");
            Ok(Capabilities::read(op)?)
        }
        read => Ok(read?),
    }
}

/// A token in the making.
struct Draft<'a> {
    store: &'a Store,
    op: &'a Operation<'a>,
    options: &'a InitOptions,
    srk: Srk,
    so_object: SoObject,
    so_auth: AuthValue,
    change_secret: AuthValue,
    so_pin_is_set: bool,
    pin_auth: AuthValue,
    pin_is_set: bool,
    kdf: Kdf,
    chip: Capabilities,
}

/// What a token with a PIN counter has besides.
struct Counted<'a> {
    counter: &'a PinCounter,
    guard: &'a ChangeGuard,
    /// The guard's secret, sealed below the token key.
    secret: Blob,
}

impl Draft<'_> {
    /// The order is: note the handle, make the counter, keep the token and strike out the
    /// note. Killed in between, the note tells [`super::orphans`] what is left in the chip.
    fn behind_counter(&self, owner: &AuthValue) -> Result<Token> {
        let guard = ChangeGuard::create(self.op, &self.srk, &self.change_secret)?;
        let counter = self.make_counter(&guard, owner)?;
        let kept = self.keep_behind(&counter, &guard);
        if kept.is_err() {
            self.unmake(&counter, owner);
        }
        kept
    }

    fn keep_behind(&self, counter: &PinCounter, guard: &ChangeGuard) -> Result<Token> {
        let (op, srk, pin) = (self.op, &self.srk, &self.pin_auth);
        let key = TokenKey::create(op, srk, Wall::Counter(counter.clone()), pin)?;
        let secret = key.seal(op, srk, pin, &self.change_secret)?;
        let limit = self.options.max_tries;
        let tries = Tries {
            left: limit,
            max: limit,
        };
        let counted = Counted {
            counter,
            guard,
            secret,
        };
        self.keep(&key, WallKind::Counter, Some(counted), Some(tries))
    }

    fn behind_lockout(&self) -> Result<Token> {
        let wall = Wall::Lockout {
            so: self.so_object.name().clone(),
        };
        let key = TokenKey::create(self.op, &self.srk, wall, &self.pin_auth)?;
        let tries = parts::lockout_tries(self.op)?;
        self.keep(&key, WallKind::Lockout, None, Some(tries))
    }

    fn behind_nothing(&self) -> Result<Token> {
        let key = TokenKey::create(self.op, &self.srk, Wall::None, &AuthValue::empty())?;
        self.keep(&key, WallKind::None, None, None)
    }

    fn make_counter(&self, guard: &ChangeGuard, owner: &AuthValue) -> Result<PinCounter> {
        const ATTEMPTS: u32 = 3;
        let so = &self.so_object;
        for attempt in 1.. {
            let handle = PinCounter::pick_handle(self.op)?;
            let counter = PinCounter::from_parts(handle, so.name(), guard.name());
            intent::note(self.store, handle, so, guard, &self.srk)?;
            let made = counter.define(
                self.op,
                &self.srk,
                owner,
                so,
                &self.so_auth,
                &self.pin_auth,
                self.options.max_tries,
            );
            match made {
                Ok(()) => return Ok(counter),
                Err(err) => {
                    self.unmake(&counter, owner);
                    // Somebody else was quicker with the same handle.
                    if !matches!(err, TpmError::NvDefined(_)) || attempt == ATTEMPTS {
                        return Err(err.into());
                    }
                }
            }
        }
        unreachable!("the last attempt returns")
    }

    /// Best effort to leave nothing behind: if it fails, the note stays.
    fn unmake(&self, counter: &PinCounter, owner: &AuthValue) {
        let removed = intent::remove_counter(self.op, &self.srk, counter, owner).and_then(|()| {
            self.store
                .write(|tx| intent::strike_out(tx, counter.handle(), self.so_object.name()))
        });
        if let Err(err) = removed {
            log::warn!(
                "NV index {:#010x} may be left in the TPM: {err}",
                counter.handle()
            );
        }
    }

    fn keep(
        &self,
        key: &TokenKey,
        wall: WallKind,
        counted: Option<Counted<'_>>,
        tries: Option<Tries>,
    ) -> Result<Token> {
        // Without a PIN there is nothing that an SO nobody knows could ever do.
        let so =
            (self.so_pin_is_set || wall != WallKind::None).then(|| self.so_object.blob().clone());
        let counter = counted.as_ref().map(|counted| counted.counter);
        let (guard, secret) = counted
            .map(|counted| (counted.guard.blob().clone(), counted.secret))
            .unzip();
        let parts = Parts {
            srk: self.srk.clone(),
            token_key: key.blob().clone(),
            so,
            guard,
            secret,
            kdf: self.kdf.clone(),
        };
        let new = NewToken {
            label: &self.options.label,
            wall,
            so_pin_is_set: self.so_pin_is_set,
            pin_is_set: self.pin_is_set,
            nv_handle: counter.map(PinCounter::handle),
            max_tries: counter.map(|_| self.options.max_tries),
            tries,
            chip: &self.chip,
            parts: &parts,
        };
        self.store.write(|tx| {
            let id = new.insert(tx, &serial())?;
            if let Some(counter) = counter {
                intent::fulfil(tx, counter.handle(), self.so_object.name())?;
            }
            by_id(tx, id)
        })
    }
}

/// 16 hexadecimal digits, which is what PKCS#11 has room for.
fn serial() -> String {
    format!("{:016x}", OsRng.next_u64())
}
