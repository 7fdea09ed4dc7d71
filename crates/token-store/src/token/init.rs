//! Making a token.

use rand_core::{OsRng, RngCore};
use tpm_core::{
    Blob, Capabilities, ChangeGuard, Error as TpmError, GuardAuth, OpenSrk, OwnerAuth, PinAuth,
    PinCounter, SoAuth, SoObject, Srk, TokenKey, Tpm, Unfit,
};

use super::{
    DEFAULT_TRIES, MAX_TRIES, MIN_TRIES, NewToken, Parts, Token, Tries, WallKind, by_id,
    check_label, intent, orphan,
    parts::{self, TokenObjects, check_limit},
};
use crate::{
    Error, Pin, Result, SoPin, Store,
    pin::Kdf,
    place::{DirLock, check_srk},
};

/// The options of a new token.
#[derive(Debug, Clone)]
pub struct InitOptions {
    /// Its label; 1 to 32 bytes.
    pub label: String,
    /// Its PIN wall. `None` is a PIN counter, or the chip's lockout if the chip states that it has
    /// no PIN counters at all ([`Initialized::fallback`]).
    pub wall: Option<WallKind>,
    /// At how many wrong PINs a PIN counter locks.
    pub max_tries: u32,
}

impl InitOptions {
    /// The defaults: a PIN counter, and [`DEFAULT_TRIES`].
    #[must_use]
    pub fn new(label: impl Into<String>) -> Self {
        Self {
            label: label.into(),
            wall: None,
            max_tries: DEFAULT_TRIES,
        }
    }
}

/// Why a token cannot have a PIN counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NoCounter {
    /// The chip does not have PIN counters.
    #[error("this TPM has none")]
    NotSupported,
    /// The chip has no room for another NV index.
    #[error("this TPM has no room for another one")]
    NoSpace,
    /// The owner hierarchy has a password, which was not given.
    #[error("it takes the owner password of this TPM")]
    OwnerAuth,
}

impl NoCounter {
    /// The reason in an error of making a counter, if another wall would help. A wrong owner
    /// password is not such a reason: the caller gave it and has to be told.
    #[must_use]
    pub fn from_failure(err: &Error, owner: &OwnerAuth) -> Option<Self> {
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
#[non_exhaustive]
pub struct Initialized {
    /// The token.
    pub token: Token,
    /// Why tpmssh uses a storage root key of its own and not the existing one; `None` if it uses
    /// that.
    pub own_srk: Option<Unfit>,
    /// Why the chip's lockout protects it and not a counter, if that is so.
    pub fallback: Option<NoCounter>,
}

/// Makes a token.
///
/// If `pin` is `None`, the SO sets it later ([`crate::SoToken::reset_pin`]), as with `C_InitToken`
/// and `C_InitPIN`. If `so` is `None`, the PIN can never be reset. With [`WallKind::None`], `pin`
/// must be `None`. `owner` is the owner hierarchy's authorization, which is needed for a PIN
/// counter and for making a storage root key.
///
/// Also removes PIN counters that killed programs left in the chip.
///
/// # Errors
///
/// [`Error::NoCounterWall`] if no wall was chosen and making a counter failed: such an error is not
/// authenticated, so it must not lead to a weaker wall. [`Error::UnrecordedSrk`],
/// [`Error::WrongLimit`]; errors of the label and the number of tries, of the TPM and of the store.
/// Then nothing new is in the store, and nothing in the chip unless this was interrupted
/// ([`super::orphans`]).
pub fn init(
    store: &mut Store,
    tpm: &Tpm,
    options: &InitOptions,
    so: Option<&SoPin>,
    pin: Option<&Pin>,
    owner: &OwnerAuth,
) -> Result<Initialized> {
    check(options, pin)?;
    if store.is_read_only() {
        return Err(Error::ReadOnly);
    }
    // Deriving keys takes time, so it is done before the operation with the chip begins.
    let secrets = Secrets::new(so, pin)?;
    let op = tpm.begin()?;
    let srk = Srk::find_or_create(&op, owner)?;
    check_srk(srk.name())?;
    let root = srk.open(&op)?;
    let _making = begin_making(store, &root, owner)?;
    let own_srk = if srk.is_own() || !srk.is_persistent() {
        Srk::unfit(&op)?
    } else {
        None
    };
    let (token, fallback) = make(store, &root, options, &secrets, owner, None)?;
    Ok(Initialized {
        token,
        own_srk,
        fallback,
    })
}

/// Refuses wrong options before a command is sent.
pub(super) fn check(options: &InitOptions, pin: Option<&Pin>) -> Result<()> {
    check_label(&options.label)?;
    if !(MIN_TRIES..=MAX_TRIES).contains(&options.max_tries) {
        return Err(Error::BadTries);
    }
    if options.wall == Some(WallKind::None) && pin.is_some() {
        return Err(Error::NoPin);
    }
    Ok(())
}

/// Takes the lock for making counters, and removes counters that killed programs left.
pub(super) fn begin_making(
    store: &Store,
    root: &OpenSrk<'_>,
    owner: &OwnerAuth,
) -> Result<DirLock> {
    let mut making = store.making()?;
    if making.is_alone() {
        orphan::sweep(store, root, owner)?;
        making.share();
    }
    Ok(making)
}

/// The authorization values of a new token.
pub(super) struct Secrets {
    kdf: Kdf,
    so: SoAuth,
    so_pin_is_set: bool,
    pin: PinAuth,
    pin_is_set: bool,
    /// The authorization value of the change guard.
    change: GuardAuth,
}

impl Secrets {
    /// Derives them from the PINs, with a new salt. A missing PIN becomes a random value.
    pub(super) fn new(so: Option<&SoPin>, pin: Option<&Pin>) -> Result<Self> {
        let kdf = Kdf::new();
        Ok(Self {
            so: so.map_or_else(|| Ok(SoAuth::random()), |so| kdf.so(so))?,
            so_pin_is_set: so.is_some(),
            pin: pin.map_or_else(|| Ok(PinAuth::random()), |pin| kdf.user(pin))?,
            pin_is_set: pin.is_some(),
            change: GuardAuth::random(),
            kdf,
        })
    }
}

/// A token, and why the chip's lockout protects it if the caller chose no wall.
type Made = (Token, Option<NoCounter>);

/// Makes a token below `root`. If there is an `old` one, takes its place.
pub(super) fn make(
    store: &Store,
    root: &OpenSrk<'_>,
    options: &InitOptions,
    secrets: &Secrets,
    owner: &OwnerAuth,
    old: Option<&Token>,
) -> Result<Made> {
    let chip = ask_chip(root)?;
    let so_object = SoObject::create(root, &secrets.so, &secrets.change)?;
    let draft = Draft {
        store,
        root,
        options,
        so_object,
        secrets,
        chip,
        old,
    };
    match options.wall {
        Some(WallKind::Counter) if !draft.chip.has_pin_indexes() => {
            Err(TpmError::NotSupported("PIN counters in NV memory").into())
        }
        Some(WallKind::Counter) => Ok((draft.behind_counter(owner)?, None)),
        Some(WallKind::Lockout) => Ok((draft.behind_lockout()?, None)),
        Some(WallKind::None) => Ok((draft.behind_nothing()?, None)),
        None if !draft.chip.has_pin_indexes() => {
            Ok((draft.behind_lockout()?, Some(NoCounter::NotSupported)))
        }
        None => match draft.behind_counter(owner) {
            Ok(token) => Ok((token, None)),
            Err(err) => Err(match NoCounter::from_failure(&err, owner) {
                Some(reason) => Error::NoCounterWall(reason),
                None => err,
            }),
        },
    }
}

/// Reads the chip's capabilities.
///
/// A session authenticates the answer. If that fails, reads them without authentication, because
/// the proxy that plays other chips in tests cannot authenticate its answers. A forged answer
/// weakens nothing unnoticed: RSA keys may decrypt in every chip, and a weaker wall is reported
/// when the token is made.
pub(crate) fn ask_chip(root: &OpenSrk<'_>) -> Result<Capabilities> {
    match Capabilities::read_authentic(root) {
        Err(TpmError::ReplyForged { .. }) => {
            log::warn!("what the TPM says about itself is not authenticated");
            Ok(Capabilities::read(root.op())?)
        }
        read => Ok(read?),
    }
}

/// A token that is being made.
struct Draft<'a> {
    store: &'a Store,
    root: &'a OpenSrk<'a>,
    options: &'a InitOptions,
    so_object: SoObject,
    secrets: &'a Secrets,
    chip: Capabilities,
    /// The token that it replaces.
    old: Option<&'a Token>,
}

/// The additional parts of a token with a PIN counter.
struct Counted<'a> {
    counter: &'a PinCounter,
    guard: &'a ChangeGuard,
    /// The guard's secret, sealed below the token key.
    secret: Blob,
}

impl Draft<'_> {
    /// The order is: note the handle, make the counter, store the token and delete the note in one
    /// transaction. After a kill in between, the note tells [`super::orphans`] what is left in the
    /// chip.
    fn behind_counter(&self, owner: &OwnerAuth) -> Result<Token> {
        let guard = ChangeGuard::create(self.root, &self.secrets.change)?;
        let counter = self.make_counter(&guard, owner)?;
        let kept = self.keep_behind(&counter, &guard);
        if kept.is_err() {
            self.unmake(&counter, owner);
        }
        kept
    }

    fn keep_behind(&self, counter: &PinCounter, guard: &ChangeGuard) -> Result<Token> {
        let key = TokenKey::behind_counter(self.root, counter.clone())?;
        let secret = key.seal(self.root, &self.secrets.pin, &self.secrets.change)?;
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
        let key = TokenKey::behind_lockout(self.root, &self.so_object, &self.secrets.pin)?;
        let tries = parts::lockout_tries(self.root.op())?;
        self.keep(&key, WallKind::Lockout, None, Some(tries))
    }

    fn behind_nothing(&self) -> Result<Token> {
        let key = TokenKey::without_pin(self.root)?;
        self.keep(&key, WallKind::None, None, None)
    }

    fn make_counter(&self, guard: &ChangeGuard, owner: &OwnerAuth) -> Result<PinCounter> {
        const ATTEMPTS: u32 = 3;
        let so = &self.so_object;
        for attempt in 1.. {
            let handle = PinCounter::pick_handle(self.root.op())?;
            let counter = PinCounter::from_parts(handle, so.name(), guard.name());
            intent::note(self.store, handle, so, guard, self.root.srk())?;
            let made = counter.define(
                self.root,
                owner,
                so,
                &self.secrets.so,
                &self.secrets.pin,
                self.options.max_tries,
            );
            let made = made
                .map_err(Error::from)
                .and_then(|()| check_limit(self.root, &counter, self.options.max_tries));
            match made {
                Ok(()) => return Ok(counter),
                Err(err) => {
                    self.unmake(&counter, owner);
                    // Another program defined an index at this handle in the meantime.
                    let is_taken = matches!(err, Error::Tpm(TpmError::NvDefined(_)));
                    if !is_taken || attempt == ATTEMPTS {
                        return Err(err);
                    }
                }
            }
        }
        unreachable!("the last attempt returns")
    }

    /// Removes the counter again. If that fails, the note stays.
    fn unmake(&self, counter: &PinCounter, owner: &OwnerAuth) {
        let removed = intent::remove_counter(self.root, counter, owner).and_then(|()| {
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
        // A token without a PIN wall and without an SO PIN needs no SO object.
        let so = (self.secrets.so_pin_is_set || wall != WallKind::None)
            .then(|| self.so_object.blob().clone());
        let counter = counted.as_ref().map(|counted| counted.counter);
        let (guard, secret) = counted
            .map(|counted| (counted.guard.blob().clone(), counted.secret))
            .unzip();
        let parts = Parts {
            srk: self.root.srk().clone(),
            token_key: key.blob().clone(),
            so,
            guard,
            secret,
            kdf: self.secrets.kdf.clone(),
        };
        let new = NewToken {
            label: &self.options.label,
            wall,
            so_pin_is_set: self.secrets.so_pin_is_set,
            pin_is_set: self.secrets.pin_is_set,
            nv_handle: counter.map(PinCounter::handle),
            max_tries: counter.map(|_| self.options.max_tries),
            tries,
            chip: &self.chip,
            parts: &parts,
        };
        self.store.write(|tx| {
            let id = match self.old {
                None => new.insert(tx, &serial())?,
                Some(old) => new.replace(tx, old)?,
            };
            if let Some(counter) = counter {
                intent::fulfil(tx, counter.handle(), self.so_object.name())?;
            }
            if let Some(old) = self.old {
                intent::note_left_over(tx, &TokenObjects::of(old)?)?;
            }
            by_id(tx, id)
        })
    }
}

/// 16 hexadecimal digits, the length of a serial number in PKCS#11.
fn serial() -> String {
    format!("{:016x}", OsRng.next_u64())
}
