//! Descriptors 0 to 2 of a host that has closed them.

use std::ffi::c_int;

/// Keeps descriptors 0, 1 and 2 from being used for the store or the chip. The host may write its
/// messages to these numbers, and the messages would go into the store or to the chip.
///
/// Opens a placeholder for each of the three that is closed. It behaves as if it were closed:
/// reading and writing fail with `EBADF`, and it ends with an `exec`. Placeholders are never closed
/// again: the host may meanwhile have opened a file of its own under the same number. SQLite would
/// open `/dev/null` instead, which would hide lost messages.
///
/// Costs three short system calls.
pub(super) fn keep_standard_free() {
    for number in 0..=2 {
        // SAFETY: the call takes and returns numbers, and no pointer.
        let flags = unsafe { libc::fcntl(number, libc::F_GETFD) };
        if flags < 0 && !occupy(number) {
            return;
        }
    }
}

/// Takes the descriptor `number`, which is the lowest free one.
fn occupy(number: c_int) -> bool {
    // SAFETY: the path ends with a zero byte.
    let taken = unsafe { libc::open(c"/".as_ptr(), libc::O_PATH | libc::O_CLOEXEC) };
    if taken > number {
        // Another thread was faster.
        // SAFETY: it was opened here, and nobody else knows of it.
        unsafe { libc::close(taken) };
    }
    taken >= 0
}
