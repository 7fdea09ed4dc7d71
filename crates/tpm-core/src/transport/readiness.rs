//! Waiting until a descriptor can be read or written, before a deadline.

use std::os::fd::AsFd;

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
};

use super::exchange::Deadline;
use crate::{Error, Result};

/// What to wait for.
#[derive(Debug, Clone, Copy)]
pub(super) enum For {
    Reading,
    Writing,
}

/// Waits until `fd` is ready or broken. If it is broken, the next read or write returns the error.
///
/// # Errors
///
/// [`Error::Timeout`] at the deadline.
pub(super) fn wait(fd: impl AsFd, what: For, deadline: Deadline) -> Result<()> {
    let flags = match what {
        For::Reading => PollFlags::IN,
        For::Writing => PollFlags::OUT,
    };
    loop {
        let timeout = Timespec::try_from(deadline.left()?).ok();
        match poll(&mut [PollFd::new(&fd, flags)], timeout.as_ref()) {
            Ok(0) => return Err(deadline.timeout()),
            Ok(_) => return Ok(()),
            Err(Errno::INTR) => {}
            Err(err) => return Err(Error::Connection(err.into())),
        }
    }
}

/// Whether an idle connection is open, without an error and without unread bytes.
pub(super) fn is_quiet(fd: impl AsFd) -> bool {
    let mut fds = [PollFd::new(&fd, PollFlags::IN | PollFlags::RDHUP)];
    matches!(
        poll(
            &mut fds,
            Some(&Timespec {
                tv_sec: 0,
                tv_nsec: 0
            })
        ),
        Ok(0)
    )
}
