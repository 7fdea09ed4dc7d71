//! Descriptors 0 to 2 of a host that has closed them.

use std::ffi::c_int;

/// Sees to it that no descriptor that is opened from here on is 0, 1 or 2: to those the host may
/// write its messages, and they would end up in the store or in the chip.
///
/// Each of the three that is closed is taken by one that behaves as if it were closed: reading
/// and writing fail with `EBADF`, and it does not outlive an `exec`. They stay, because the host
/// may have put a file of its own in the place of one by the time that we could give it back.
/// SQLite would do the same with `/dev/null`, into which messages would vanish.
///
/// Costs three system calls that look up a number.
pub(super) fn keep_standard_free() {
    for number in 0..=2 {
        // SAFETY: it takes a number and gives one back.
        let flags = unsafe { libc::fcntl(number, libc::F_GETFD) };
        if flags < 0 && !occupy(number) {
            return;
        }
    }
}

/// Takes the descriptor `number`, which is the lowest one that is free.
fn occupy(number: c_int) -> bool {
    // SAFETY: the path ends with a zero byte.
    let taken = unsafe { libc::open(c"/".as_ptr(), libc::O_PATH | libc::O_CLOEXEC) };
    if taken > number {
        // Another thread was quicker.
        // SAFETY: it was opened here, and nobody else knows of it.
        unsafe { libc::close(taken) };
    }
    taken >= 0
}
