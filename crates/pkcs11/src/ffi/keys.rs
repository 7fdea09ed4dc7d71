//! Chapter 5.18: making keys.

use cryptoki_sys::*;

use super::{call, mechanism, pointer::Out, template};
use crate::{
    error::Error,
    keys::{derive, generate::Plan},
};

/// Makes a key pair in the chip.
///
/// # Safety
///
/// Every pointer is null or good for its length, as [`super`] says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn C_GenerateKeyPair(
    session: CK_SESSION_HANDLE,
    mechanism: CK_MECHANISM_PTR,
    public: CK_ATTRIBUTE_PTR,
    public_count: CK_ULONG,
    private: CK_ATTRIBUTE_PTR,
    private_count: CK_ULONG,
    public_key: CK_OBJECT_HANDLE_PTR,
    private_key: CK_OBJECT_HANDLE_PTR,
) -> CK_RV {
    call("C_GenerateKeyPair", |module| {
        // SAFETY: the caller vouches for `mechanism`.
        let mechanism = unsafe { mechanism::read(mechanism) }?.ok_or(Error::ArgumentsBad)?;
        // SAFETY: the caller vouches for `public`.
        let public = unsafe { template::read(public, public_count) }?;
        // SAFETY: the caller vouches for `private`.
        let private = unsafe { template::read(private, private_count) }?;
        // SAFETY: the caller vouches for `public_key`.
        let public_key = unsafe { Out::new(public_key) }?;
        // SAFETY: the caller vouches for `private_key`.
        let private_key = unsafe { Out::new(private_key) }?;
        let plan = module.with(|state| Plan::new(state, session, &mechanism, &public, &private))?;
        let made = plan.make()?;
        let (public, private) = module.with(|state| plan.keep(state, session, made))?;
        public_key.put(public);
        private_key.put(private);
        Ok(())
    })
}

/// Derives a secret with a key in the chip.
///
/// # Safety
///
/// Every pointer is null or good for its length, as [`super`] says.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn C_DeriveKey(
    session: CK_SESSION_HANDLE,
    mechanism: CK_MECHANISM_PTR,
    base: CK_OBJECT_HANDLE,
    template: CK_ATTRIBUTE_PTR,
    count: CK_ULONG,
    key: CK_OBJECT_HANDLE_PTR,
) -> CK_RV {
    call("C_DeriveKey", |module| {
        // SAFETY: the caller vouches for `mechanism`.
        let mechanism = unsafe { mechanism::read(mechanism) }?.ok_or(Error::ArgumentsBad)?;
        // SAFETY: the caller vouches for `template`.
        let template = unsafe { template::read(template, count) }?;
        // SAFETY: the caller vouches for `key`.
        let out = unsafe { Out::new(key) }?;
        out.put(module.with(|state| derive::derive(state, session, mechanism, base, &template))?);
        Ok(())
    })
}
