//! Memory for private keys and the files that hold them.
//!
//! tpm-core has the like of it for its own secrets (`secret/locked.rs`), a page each. Neither crate
//! depends on the other, and what changes here probably has to change there.

use std::fmt;
use std::io::{self, Read};

use region::LockGuard;
use zeroize::Zeroize;

/// Pages of their own: the kernel locks whole pages and does not count locks. If pages are larger
/// than these, the lock also covers other memory and may end when that is unlocked; the bytes are
/// then swappable.
#[repr(align(4096))]
struct Pages([u8; SecretBytes::MAX]);

/// Bytes in pages that the kernel keeps in memory, wiped when dropped and never printed.
pub struct SecretBytes {
    // Declared first so that the pages are unlocked before they are freed. `None` if
    // RLIMIT_MEMLOCK is used up; the bytes are then swappable.
    _guard: Option<LockGuard>,
    pages: Box<Pages>,
    len: usize,
}

impl SecretBytes {
    /// The most bytes that one holds: more than the file of an RSA key of 16384 bits has.
    pub const MAX: usize = 16 * 1024;

    fn empty() -> Self {
        let pages = Box::new(Pages([0; Self::MAX]));
        Self {
            _guard: region::lock(pages.0.as_ptr(), Self::MAX).ok(),
            pages,
            len: 0,
        }
    }

    /// A copy of `bytes`; `None` for more than [`SecretBytes::MAX`].
    #[must_use]
    pub fn new(bytes: &[u8]) -> Option<Self> {
        let mut copy = Self::empty();
        copy.pages.0.get_mut(..bytes.len())?.copy_from_slice(bytes);
        copy.len = bytes.len();
        Some(copy)
    }

    /// All that comes from `from`; `None` for more than [`SecretBytes::MAX`] bytes.
    ///
    /// # Errors
    ///
    /// Those of `from`.
    pub fn read(mut from: impl Read) -> io::Result<Option<Self>> {
        let mut all = Self::empty();
        loop {
            let room = &mut all.pages.0[all.len..];
            if room.is_empty() {
                let mut more = [0];
                return Ok((from.read(&mut more)? == 0).then_some(all));
            }
            match from.read(room) {
                Ok(0) => return Ok(Some(all)),
                Ok(len) => all.len += len,
                Err(err) if err.kind() == io::ErrorKind::Interrupted => {}
                Err(err) => return Err(err),
            }
        }
    }

    /// Overwrites all of it: it may have been longer.
    fn wipe(&mut self) {
        self.pages.0.zeroize();
    }

    /// The bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.pages.0[..self.len]
    }

    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.pages.0[..self.len]
    }

    /// Leaves only the first `len` bytes.
    pub(crate) fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }

    /// Leaves only the bytes that `keep` takes, in their order.
    pub(crate) fn retain(&mut self, keep: impl Fn(u8) -> bool) {
        let mut kept = 0;
        for i in 0..self.len {
            let byte = self.pages.0[i];
            if keep(byte) {
                self.pages.0[kept] = byte;
                kept += 1;
            }
        }
        self.len = kept;
    }
}

impl Drop for SecretBytes {
    fn drop(&mut self) {
        self.wipe();
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
    fn what_is_longer_than_there_is_room_for_is_refused() {
        let full = vec![7; SecretBytes::MAX];
        assert_eq!(SecretBytes::new(&full).unwrap().bytes(), full);
        assert_eq!(SecretBytes::read(&full[..]).unwrap().unwrap().bytes(), full);
        let more = vec![7; SecretBytes::MAX + 1];
        assert!(SecretBytes::new(&more).is_none());
        assert!(SecretBytes::read(&more[..]).unwrap().is_none());
    }

    /// proc(5): the flag `lo` stands for pages that are locked.
    fn is_locked(address: usize) -> bool {
        let maps = std::fs::read_to_string("/proc/self/smaps").unwrap();
        let mut here = false;
        for line in maps.lines() {
            let range = line.split(' ').next().unwrap().split_once('-');
            let number = |text| usize::from_str_radix(text, 16).ok();
            if let Some((Some(from), Some(to))) = range.map(|(a, b)| (number(a), number(b))) {
                here = (from..to).contains(&address);
            }
            if let Some(flags) = line.strip_prefix("VmFlags:").filter(|_| here) {
                return flags.split_whitespace().any(|flag| flag == "lo");
            }
        }
        panic!("no such address")
    }

    #[test]
    fn bytes_are_locked_from_the_first_to_the_last_as_long_as_they_live() {
        let full = vec![7; SecretBytes::MAX];
        let one = SecretBytes::new(&full).unwrap();
        let other = SecretBytes::read(&full[..]).unwrap().unwrap();
        let address = other.bytes().as_ptr() as usize;
        drop(one);
        for address in [address, address + SecretBytes::MAX - 1] {
            assert!(is_locked(address), "one does not unlock another");
        }
        let unlocked = Box::new(Pages([0; SecretBytes::MAX]));
        assert!(!is_locked(unlocked.0.as_ptr() as usize), "the control");
    }

    #[test]
    fn what_was_left_out_is_wiped_as_well() {
        let mut bytes = SecretBytes::new(b"a secret number").unwrap();
        bytes.truncate(1);
        assert_eq!(bytes.pages.0[..15], *b"a secret number");
        bytes.wipe();
        assert_eq!(bytes.pages.0, [0; SecretBytes::MAX]);
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
