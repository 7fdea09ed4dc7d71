//! Memory for private keys and the files that hold them.

use std::fmt;
use std::io::{self, Read};

use locked_memory::Locked;

/// Bytes in pages that the kernel keeps in memory, wiped when dropped and never printed.
///
/// If the process may lock no more memory (`RLIMIT_MEMLOCK`), the bytes can be swapped to disk.
pub struct SecretBytes(Locked<{ SecretBytes::MAX }>);

impl SecretBytes {
    /// The most bytes that one holds: more than the file of an RSA key of 16384 bits has.
    pub const MAX: usize = 16 * 1024;

    /// A copy of `bytes`; `None` for more than [`SecretBytes::MAX`].
    #[must_use]
    pub fn new(bytes: &[u8]) -> Option<Self> {
        if bytes.len() > Self::MAX {
            return None;
        }
        let mut copy = Locked::zeroed(bytes.len());
        copy.bytes_mut().copy_from_slice(bytes);
        Some(Self(copy))
    }

    /// All that comes from `from`; `None` for more than [`SecretBytes::MAX`] bytes.
    ///
    /// # Errors
    ///
    /// Those of `from`.
    pub fn read(mut from: impl Read) -> io::Result<Option<Self>> {
        let mut all = Locked::zeroed(0);
        loop {
            let room = all.spare_mut();
            if room.is_empty() {
                let mut more = [0];
                return Ok((from.read(&mut more)? == 0).then_some(Self(all)));
            }
            match from.read(room) {
                Ok(0) => return Ok(Some(Self(all))),
                Ok(len) => all.set_len(all.bytes().len() + len),
                Err(err) if err.kind() == io::ErrorKind::Interrupted => {}
                Err(err) => return Err(err),
            }
        }
    }

    /// The bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.0.bytes()
    }

    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        self.0.bytes_mut()
    }

    /// Leaves only the first `len` bytes.
    pub(crate) fn truncate(&mut self, len: usize) {
        self.0.set_len(len.min(self.bytes().len()));
    }

    /// Leaves only the bytes that `keep` takes, in their order.
    pub(crate) fn retain(&mut self, keep: impl Fn(u8) -> bool) {
        let mut kept = 0;
        for i in 0..self.bytes().len() {
            let byte = self.bytes()[i];
            if keep(byte) {
                self.bytes_mut()[kept] = byte;
                kept += 1;
            }
        }
        self.truncate(kept);
    }
}

impl fmt::Debug for SecretBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretBytes(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_bytes_than_fit_are_refused() {
        let full = vec![7; SecretBytes::MAX];
        assert_eq!(SecretBytes::new(&full).unwrap().bytes(), full);
        assert_eq!(SecretBytes::read(&full[..]).unwrap().unwrap().bytes(), full);
        let more = vec![7; SecretBytes::MAX + 1];
        assert!(SecretBytes::new(&more).is_none());
        assert!(SecretBytes::read(&more[..]).unwrap().is_none());
    }

    #[test]
    fn bytes_are_left_out_in_place_and_never_printed() {
        let mut bytes = SecretBytes::new(b"a b\nc").unwrap();
        bytes.retain(|byte| !byte.is_ascii_whitespace());
        assert_eq!(bytes.bytes(), b"abc");
        bytes.truncate(2);
        assert_eq!(bytes.bytes(), b"ab");
        assert_eq!(format!("{bytes:?}"), "SecretBytes(…)");
    }
}
