//! The C boundary: pointers in, panics stopped, return values out.
//!
//! All unsafe code of the crate is here. Each `C_*` function turns pointers into slices and
//! values, calls safe code, and writes the result.
//!
//! # Safety
//!
//! The contract of every function is the standard's: a pointer is null, or good for its length
//! until the function returns. The code relies on nothing else. It checks for null pointers, checks
//! lengths before it uses them, assumes no alignment, allows output to overlap input, and keeps no
//! pointer.

#![expect(unsafe_code, reason = "this is the C boundary")]

use std::{
    cell::Cell,
    panic::{self, AssertUnwindSafe},
    sync::{Arc, Once},
};

use cryptoki_sys::{CK_RV, CKR_OK};

use crate::{
    error::{Error, Result},
    module::Module,
    process, report,
};

pub mod crypto;
mod descriptors;
pub mod encrypt;
mod fork;
pub mod general;
pub mod interface;
pub mod keys;
mod mechanism;
pub mod object;
#[cfg(test)]
mod panics;
mod pointer;
pub mod session;
pub mod slot;
mod template;
pub mod unsupported;

/// Runs the body of the `C_*` function `name` and turns its outcome into a return value.
///
/// A panic that left the module would abort its host. With `ssh-agent` as host, all its other keys
/// would be lost. The interrupted state is behind mutexes that are usable afterwards.
fn boundary(name: &str, body: impl FnOnce() -> Result<()>) -> CK_RV {
    let _quiet = Quiet::enter();
    descriptors::keep_standard_free();
    let outcome = panic::catch_unwind(AssertUnwindSafe(|| {
        #[cfg(test)]
        tests::maybe_panic();
        body()
    }));
    match outcome {
        Ok(Ok(())) => CKR_OK,
        Ok(Err(err)) => {
            log::debug!("{name}: {err}");
            report::failure(name, &err);
            err.rv()
        }
        Err(_) => {
            report::failure(name, &Error::Internal);
            Error::Internal.rv()
        }
    }
}

/// The same for a function that needs the module of this process.
fn call(name: &str, body: impl FnOnce(&Arc<Module>) -> Result<()>) -> CK_RV {
    boundary(name, || body(&process::module()?))
}

thread_local! {
    /// Whether this thread is inside the module.
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

/// While it lives, a panic of this thread is not written to the host's standard error.
///
/// The hook is this library's own (a cdylib has its own copy of the standard library); in a
/// Rust program that links the crate, other threads and other code keep the hook they had.
struct Quiet {
    before: bool,
}

impl Quiet {
    fn enter() -> Self {
        static HOOK: Once = Once::new();
        HOOK.call_once(|| {
            let usual = panic::take_hook();
            panic::set_hook(Box::new(move |info| {
                if !INSIDE.get() {
                    usual(info);
                }
            }));
        });
        Self {
            before: INSIDE.replace(true),
        }
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        INSIDE.set(self.before);
    }
}

#[cfg(test)]
mod tests {
    use cryptoki_sys::*;

    use super::*;

    thread_local! {
        static PANIC: Cell<bool> = const { Cell::new(false) };
    }

    /// Panics if a test of this thread asks for it.
    pub(super) fn maybe_panic() {
        assert!(!PANIC.get(), "injected");
    }

    /// Calls a function in which there is a panic.
    pub(super) fn panicking(call: fn() -> CK_RV) -> CK_RV {
        PANIC.set(true);
        let returned = call();
        PANIC.set(false);
        returned
    }

    #[test]
    fn a_panic_becomes_a_return_value() {
        assert_eq!(
            boundary("test", || panic!("never shown")),
            CKR_GENERAL_ERROR
        );
        assert_eq!(boundary("test", || Ok(())), CKR_OK);
        assert_eq!(
            boundary("test", || Err(Error::SessionCount)),
            CKR_SESSION_COUNT
        );
    }
}
