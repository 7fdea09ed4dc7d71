//! Keeps PINs out of core files and away from debuggers of the same user, and the program alive
//! at the limit of file sizes.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// Forbids this process to dump core and other processes of this user to attach to it.
///
/// A failure is logged and otherwise ignored: the program is then as exposed as any other, and
/// refusing to work would not help the user.
pub(crate) fn process() {
    if let Err(err) = locked_memory::shield_process() {
        log::warn!("core dumps or other processes may show the memory of this one: {err}");
    }
}

/// Has a write beyond the limit of file sizes (`ulimit -f`) fail instead of ending this process.
///
/// SIGXFSZ gets a handler that does nothing. It is not ignored, since a program that this one
/// starts would then ignore it as well.
pub(crate) fn survive_file_limit() {
    let reached = Arc::new(AtomicBool::new(false));
    if let Err(err) = signal_hook::flag::register(signal_hook::consts::SIGXFSZ, reached) {
        log::warn!("a file that grows too large ends this program: {err}");
    }
}
