//! The handlers for a `fork` of the host.

use std::{panic, sync::Once};

use crate::process::{self, gate::Gate};

/// Lets forks wait for the state of the module, from the first `C_Initialize` on.
///
/// SQLite has locks of its own that all its connections share. A child that was forked while
/// another thread held one could never open the store.
pub(super) fn watch() {
    static REGISTERED: Once = Once::new();
    REGISTERED.call_once(|| {
        // SAFETY: the handlers take nothing, do not unwind, and stay in memory: the module is
        // linked with `nodelete`.
        let failed = unsafe { libc::pthread_atfork(Some(before), Some(after), Some(after)) };
        if failed != 0 {
            log::warn!("forks are not waited for: error {failed}");
        }
    });
}

extern "C" fn before() {
    // It does not panic. A panic would abort the host here.
    let _ = panic::catch_unwind(process::before_fork);
}

extern "C" fn after() {
    let _ = panic::catch_unwind(Gate::open);
}
