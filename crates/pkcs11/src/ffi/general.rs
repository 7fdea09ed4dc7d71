//! Chapter 5.4: general purpose functions, and short functions of other chapters.

use cryptoki_sys::*;

use super::{
    boundary, call, fork,
    pointer::{Fill, Out, input, value},
};
use crate::{error::Error, process, random, slot};

/// Begins the use of the module by this process.
///
/// # Safety
///
/// Every pointer is null or good for its length, as [`super`] says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn C_Initialize(args: CK_VOID_PTR) -> CK_RV {
    boundary("C_Initialize", || {
        if !args.is_null() {
            // SAFETY: the caller vouches for `args`.
            let args: CK_C_INITIALIZE_ARGS = unsafe { value(args.cast()) }?;
            let callbacks = [
                args.CreateMutex.is_some(),
                args.DestroyMutex.is_some(),
                args.LockMutex.is_some(),
                args.UnlockMutex.is_some(),
            ];
            let given = callbacks.iter().filter(|given| **given).count();
            if !args.pReserved.is_null() || !matches!(given, 0 | 4) {
                return Err(Error::ArgumentsBad);
            }
            // The module uses the locks of the operating system.
            if given == 4 && args.flags & CKF_OS_LOCKING_OK == 0 {
                return Err(Error::CantLock);
            }
        }
        fork::watch();
        process::initialize()
    })
}

/// Ends the use of the module by this process.
///
/// # Safety
///
/// Every pointer is null or good for its length, as [`super`] says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn C_Finalize(reserved: CK_VOID_PTR) -> CK_RV {
    boundary("C_Finalize", || {
        if !reserved.is_null() {
            return Err(Error::ArgumentsBad);
        }
        process::finalize()
    })
}

/// The description of this library.
///
/// # Safety
///
/// Every pointer is null or good for its length, as [`super`] says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn C_GetInfo(info: CK_INFO_PTR) -> CK_RV {
    call("C_GetInfo", |_| {
        // SAFETY: the caller vouches for `info`.
        unsafe { Out::new(info) }?.put(slot::info());
        Ok(())
    })
}

/// A function of old versions of the standard; never succeeds (`CKR_FUNCTION_NOT_PARALLEL`).
///
/// # Safety
///
/// Every pointer is null or good for its length, as [`super`] says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn C_GetFunctionStatus(session: CK_SESSION_HANDLE) -> CK_RV {
    call("C_GetFunctionStatus", |module| {
        module.with(|state| state.session(session).map(drop))?;
        Err(Error::NotParallel)
    })
}

/// A function of old versions of the standard; never succeeds (`CKR_FUNCTION_NOT_PARALLEL`).
///
/// # Safety
///
/// Every pointer is null or good for its length, as [`super`] says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn C_CancelFunction(session: CK_SESSION_HANDLE) -> CK_RV {
    call("C_CancelFunction", |module| {
        module.with(|state| state.session(session).map(drop))?;
        Err(Error::NotParallel)
    })
}

/// Mixes a seed into the operating system's generator, which [`C_GenerateRandom`] reads.
///
/// The seed does not go to the chip (`TPM2_StirRandom`): NSS seeds each token when it starts, and
/// every start of a browser would then wait for the chip. The chip's keys do not need the seed: it
/// has a generator of its own.
///
/// # Safety
///
/// Every pointer is null or good for its length, as [`super`] says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn C_SeedRandom(
    session: CK_SESSION_HANDLE,
    seed: CK_BYTE_PTR,
    len: CK_ULONG,
) -> CK_RV {
    call("C_SeedRandom", |module| {
        // SAFETY: the caller vouches for `seed`.
        let seed = unsafe { input(seed, len) }?;
        module.with(|state| state.session(session).map(drop))?;
        random::seed(seed).map_err(|_| Error::SeedNotSupported)
    })
}

/// Random bytes, from the operating system's generator.
///
/// # Safety
///
/// Every pointer is null or good for its length, as [`super`] says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn C_GenerateRandom(
    session: CK_SESSION_HANDLE,
    data: CK_BYTE_PTR,
    len: CK_ULONG,
) -> CK_RV {
    call("C_GenerateRandom", |module| {
        // SAFETY: the caller vouches for `data`.
        let fill = unsafe { Fill::new(data, len) }?;
        module.with(|state| state.session(session).map(drop))?;
        fill.with(|piece| random::fill(piece).map_err(|_| Error::FunctionFailed))
    })
}
