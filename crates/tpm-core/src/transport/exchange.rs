//! One exchange with a TPM: bytes out, bytes in, before a deadline.

use std::time::{Duration, Instant};

use crate::{Error, Result};

/// The largest command or response that any TPM takes, in bytes.
pub(crate) const MAX_BUFFER: usize = 4096;

/// Bytes of a response header: tag (2), size (4), response code (4).
const HEADER: usize = 10;

/// A connection to a TPM.
pub(crate) trait Transport: Send {
    /// Sends a whole command. The chip begins to run it.
    fn send(&mut self, command: &[u8], deadline: Deadline) -> Result<()>;

    /// Waits for the whole response to the command that was sent last.
    ///
    /// It has at least a header, and the length that its header states.
    fn receive(&mut self, deadline: Deadline) -> Result<Vec<u8>>;

    /// Whether the connection, idle since its last exchange, is still open, checked without sending
    /// anything.
    fn is_alive(&self) -> bool {
        true
    }

    /// Closes this process' copy of a connection that the parent process still uses.
    fn abandon(self: Box<Self>);
}

/// The end of a wait, and the length of the whole wait.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadline {
    end: Instant,
    wait: Duration,
}

impl Deadline {
    /// A deadline that is `wait` from now.
    pub(crate) fn after(wait: Duration) -> Self {
        Self::since(Instant::now(), wait)
    }

    /// A deadline that is `wait` after `start`.
    pub(crate) fn since(start: Instant, wait: Duration) -> Self {
        let end = start + wait;
        Self { end, wait }
    }

    /// The same deadline, `time` later.
    pub(crate) fn postponed(self, time: Duration) -> Self {
        Self {
            end: self.end + time,
            ..self
        }
    }

    /// The time that is left, at least a millisecond; an error if none is left.
    pub(crate) fn left(self) -> Result<Duration> {
        let left = self.end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            Err(self.timeout())
        } else {
            Ok(left.max(Duration::from_millis(1)))
        }
    }

    /// The error for a missed deadline.
    pub(crate) fn timeout(self) -> Error {
        Error::Timeout {
            seconds: self.wait.as_secs(),
        }
    }
}

/// Reads a response from a stream: its header, then as many bytes as that states. `fill` fills a
/// buffer.
pub(super) fn read_response(mut fill: impl FnMut(&mut [u8]) -> Result<()>) -> Result<Vec<u8>> {
    let mut response = vec![0; HEADER];
    fill(&mut response)?;
    let size = checked_length(&response)?;
    response.resize(size, 0);
    fill(&mut response[HEADER..])?;
    Ok(response)
}

/// The length that the response's header states, in bytes.
pub(crate) fn checked_length(header: &[u8]) -> Result<usize> {
    let size = header
        .get(2..6)
        .and_then(|size| size.try_into().ok())
        .map(|size| u32::from_be_bytes(size) as usize)
        .ok_or(Error::Malformed("response header"))?;
    if (HEADER..=MAX_BUFFER).contains(&size) {
        Ok(size)
    } else {
        Err(Error::Malformed("response length"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_outside_of_what_a_tpm_sends_is_refused() {
        let header = |size: u32| [&[0x80, 1][..], &size.to_be_bytes(), &[0; 4]].concat();
        assert_eq!(checked_length(&header(10)).unwrap(), 10);
        assert_eq!(checked_length(&header(4096)).unwrap(), 4096);
        for size in [0, 9, 4097, u32::MAX] {
            assert!(checked_length(&header(size)).is_err(), "{size}");
        }
        assert!(checked_length(&[]).is_err());
    }
}
