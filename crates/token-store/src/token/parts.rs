//! The objects of a token in the chip: their stored form, their checks, and the meaning of the
//! chip's refusals.

use tpm_core::{
    Blob, ChangeGuard, Error as Tpm, OpenSrk, Operation, PinCounter, Presence, SoObject, Srk,
    TokenKey, Wall,
    info::{self, Lockout},
};

use super::{Token, Tries, WallKind};
use crate::{Error, Result, Role, pin::Kdf, place::check_srk};

/// The objects of a token in their stored form.
#[derive(Debug, Clone)]
pub(crate) struct Parts {
    /// The storage root key, pinned when the token was made.
    pub(crate) srk: Srk,
    /// The token key.
    pub(crate) token_key: Blob,
    /// The SO object; tokens without a PIN may lack one.
    pub(crate) so: Option<Blob>,
    /// The change guard, of a token with a PIN counter.
    pub(crate) guard: Option<Blob>,
    /// The guard's secret, sealed below the token key. After [`super::reinit`] it is missing until
    /// there is a user PIN again.
    pub(crate) secret: Option<Blob>,
    /// The parameters that derive authorization values from PINs.
    pub(crate) kdf: Kdf,
}

/// The objects of a token, compared with those that this crate makes. The comparison sends no
/// command to the TPM.
#[derive(Debug, Clone)]
pub(crate) struct TokenObjects {
    pub(crate) srk: Srk,
    pub(crate) key: TokenKey,
    pub(crate) so: Option<SoObject>,
    pub(crate) guard: Option<ChangeGuard>,
}

/// An error of the chip, with the tries left if it was a wrong PIN.
pub(crate) struct Refusal {
    pub(crate) error: Error,
    pub(crate) tries: Option<Tries>,
}

impl TokenObjects {
    /// The objects of `token`.
    pub(crate) fn of(token: &Token) -> Result<Self> {
        let parts = &token.parts;
        let so = parts
            .so
            .clone()
            .map(SoObject::from_blob)
            .transpose()
            .map_err(changed)?;
        let guard = parts
            .guard
            .clone()
            .map(ChangeGuard::from_blob)
            .transpose()
            .map_err(changed)?;
        let so_name = || {
            let so = so
                .as_ref()
                .ok_or_else(|| Error::corrupt("it lacks its SO object"))?;
            Ok::<_, Error>(so.name().clone())
        };
        let wall = match (token.wall, token.nv_handle) {
            (WallKind::Counter, Some(handle)) => {
                let guard = guard.as_ref().ok_or_else(lacks_guard)?;
                Wall::Counter(PinCounter::from_parts(handle, &so_name()?, guard.name()))
            }
            (WallKind::Counter, None) => return Err(Error::corrupt("it lacks its PIN counter")),
            (WallKind::Lockout, _) => Wall::Lockout { so: so_name()? },
            (WallKind::None, _) => Wall::None,
        };
        let key = TokenKey::from_parts(parts.token_key.clone(), wall).map_err(changed)?;
        Ok(Self {
            srk: parts.srk.clone(),
            key,
            so,
            guard,
        })
    }

    /// The objects of `token`, for use on this machine: an error if root has recorded other storage
    /// root keys.
    ///
    /// # Errors
    ///
    /// [`Error::UnrecordedSrk`], those of the record, and [`Error::Corrupt`].
    pub(crate) fn of_this_machine(token: &Token) -> Result<Self> {
        check_srk(token.srk_name())?;
        Self::of(token)
    }

    /// The guard of changes of the PIN, of a token with a PIN counter.
    pub(crate) fn guard(&self) -> Result<&ChangeGuard> {
        self.guard.as_ref().ok_or_else(lacks_guard)
    }

    /// The SO object, of a token with an SO PIN.
    pub(crate) fn so(&self) -> Result<&SoObject> {
        self.so.as_ref().ok_or(Error::NoSo)
    }

    /// The PIN counter, of a token that has one.
    pub(crate) fn counter(&self) -> Option<&PinCounter> {
        match self.key.wall() {
            Wall::Counter(counter) => Some(counter),
            Wall::Lockout { .. } | Wall::None => None,
        }
    }

    /// The tries left for the user PIN; needs no secret.
    pub(crate) fn tries(&self, root: &OpenSrk<'_>) -> Result<Option<Tries>> {
        match self.key.wall() {
            Wall::Counter(counter) => {
                if counter.presence(root.op())? != Presence::Ready {
                    self.srk.check(root.op())?;
                    return Err(Error::CounterMissing);
                }
                let state = counter.state(root)?;
                Ok(Some(Tries {
                    left: state.left(),
                    max: state.limit,
                }))
            }
            Wall::Lockout { .. } => lockout_tries(root.op()).map(Some),
            Wall::None => Ok(None),
        }
    }

    /// The meaning of the chip's refusal of the user PIN.
    ///
    /// A wrong PIN, a locked counter and a foreign counter can give the same error, so this reads
    /// the counter, which costs no try.
    pub(crate) fn user_refused(&self, root: &OpenSrk<'_>, err: Tpm) -> Refusal {
        let Some(counter) = self.counter() else {
            return refused_by_lockout(root.op(), Role::User, err);
        };
        let about_the_counter = matches!(
            err,
            Tpm::AuthRejected { .. } | Tpm::PinExhausted | Tpm::Policy(_) | Tpm::NvMissing(_)
        );
        if !about_the_counter {
            return Refusal {
                error: err.into(),
                tries: None,
            };
        }
        let state = match counter.presence(root.op()) {
            Ok(Presence::Ready) => counter.state(root).ok(),
            Ok(_) => {
                return Refusal {
                    error: Error::CounterMissing,
                    tries: None,
                };
            }
            Err(_) => None,
        };
        let tries = state.map(|state| Tries {
            left: state.left(),
            max: state.limit,
        });
        let error = match err {
            Tpm::AuthRejected { .. } => Error::WrongPin {
                role: Role::User,
                left: tries.map(|tries| tries.left),
            },
            Tpm::PinExhausted => Error::PinLocked,
            err => err.into(),
        };
        Refusal { error, tries }
    }

    /// The meaning of the chip's refusal of the SO PIN.
    pub(crate) fn so_refused(&self, op: &Operation<'_>, err: Tpm) -> Refusal {
        refused_by_lockout(op, Role::So, err)
    }
}

/// Reads the limit of a counter and compares it with `wanted`.
///
/// # Errors
///
/// [`Error::WrongLimit`], and those of the TPM.
pub(crate) fn check_limit(root: &OpenSrk<'_>, counter: &PinCounter, wanted: u32) -> Result<()> {
    match counter.state(root)?.limit {
        found if found == wanted => Ok(()),
        found => Err(Error::WrongLimit { found, wanted }),
    }
}

/// The tries left of the chip's lockout.
pub(crate) fn lockout_tries(op: &Operation<'_>) -> Result<Tries> {
    Ok(tries_of(&info::read(op)?.lockout))
}

fn tries_of(lockout: &Lockout) -> Tries {
    let left = lockout.max_tries.saturating_sub(lockout.count);
    Tries {
        left: if lockout.active { 0 } else { left },
        max: lockout.max_tries,
    }
}

fn refused_by_lockout(op: &Operation<'_>, role: Role, err: Tpm) -> Refusal {
    if !matches!(err, Tpm::AuthRejected { .. } | Tpm::Lockout) {
        return Refusal {
            error: err.into(),
            tries: None,
        };
    }
    let lockout = info::read(op).map(|info| info.lockout).ok();
    let tries = lockout.as_ref().map(tries_of);
    let error = match err {
        Tpm::Lockout => Error::ChipLocked {
            recovery: lockout.map(|lockout| lockout.interval),
        },
        _ if tries.is_some_and(|tries| tries.left == 0) => Error::LastTry {
            role,
            recovery: lockout.map(|lockout| lockout.interval),
        },
        _ => Error::WrongPin {
            role,
            left: tries.map(|tries| tries.left),
        },
    };
    Refusal { error, tries }
}

fn lacks_guard() -> Error {
    Error::corrupt("it lacks the guard of its PIN")
}

/// The error for a stored token that differs from those that this crate makes.
fn changed(err: Tpm) -> Error {
    Error::corrupt(format!("it was changed: {err}"))
}
