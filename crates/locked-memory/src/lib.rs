//! Memory for secrets: it is not swapped to disk, and it is wiped when it is freed.
//!
//! ```
//! use locked_memory::Locked;
//!
//! let mut pin = Locked::<4096>::zeroed(6);
//! pin.bytes_mut().copy_from_slice(b"123456");
//! assert_eq!(pin.bytes(), b"123456");
//! ```
//!
//! The system limits the memory that a process may lock (`ulimit -l`; 8 MiB by default on Linux since
//! 5.16). A secret that is made when the limit is reached is not locked, and so may be
//! swapped. It is wiped all the same. The alternative, an error, would turn a full limit into a
//! failed login.
//!
//! [`shield_process`] keeps the memory of the whole process out of core files and from debuggers.
//!
//! # Source
//!
//! mlock(2): the kernel locks whole pages and does not count locks, so unlocking one of two secrets
//! in a page unlocks the other one as well. That is why each secret here has pages of its own.
#![forbid(unsafe_code)]

mod process;

use std::fmt;

use region::LockGuard;
use zeroize::Zeroize;

pub use process::shield_process;

/// Memory that begins at a page of 4096 bytes and ends with one. If the pages of a machine are
/// larger, a lock also covers other memory and may end when that is unlocked; the secret can then be
/// swapped.
#[repr(align(4096))]
struct Pages<const N: usize>([u8; N]);

/// A secret of at most `N` bytes, in locked pages of its own. It is wiped when dropped, and never
/// printed.
///
/// It uses `N` bytes of the limit of locked memory, in whole pages, however short the secret is.
pub struct Locked<const N: usize> {
    // Declared first so that the pages are unlocked before they are freed. `None` if
    // RLIMIT_MEMLOCK is used up.
    _guard: Option<LockGuard>,
    pages: Box<Pages<N>>,
    len: usize,
}

impl<const N: usize> Locked<N> {
    /// `len` zero bytes.
    ///
    /// # Panics
    ///
    /// If `len` is more than `N`.
    #[must_use]
    pub fn zeroed(len: usize) -> Self {
        assert!(len <= N, "a secret is as long as its memory at most");
        let pages = Box::new(Pages([0; N]));
        Self {
            _guard: region::lock(pages.0.as_ptr(), N).ok(),
            pages,
            len,
        }
    }

    /// The bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.pages.0[..self.len]
    }

    /// The bytes, to be changed.
    #[must_use]
    pub fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.pages.0[..self.len]
    }

    /// The memory behind the last byte, up to `N`. [`Locked::set_len`] makes bytes of it.
    #[must_use]
    pub fn spare_mut(&mut self) -> &mut [u8] {
        &mut self.pages.0[self.len..]
    }

    /// Makes the secret `len` bytes long. Bytes that it loses stay in the memory until it is wiped.
    ///
    /// # Panics
    ///
    /// If `len` is more than `N`.
    pub fn set_len(&mut self, len: usize) {
        assert!(len <= N, "a secret is as long as its memory at most");
        self.len = len;
    }

    /// Overwrites all `N` bytes with zeros, because the secret may have been longer than it is.
    fn wipe(&mut self) {
        self.pages.0.zeroize();
    }
}

impl<const N: usize> Clone for Locked<N> {
    fn clone(&self) -> Self {
        let mut copy = Self::zeroed(self.len);
        copy.bytes_mut().copy_from_slice(self.bytes());
        copy
    }
}

impl<const N: usize> Drop for Locked<N> {
    fn drop(&mut self) {
        self.wipe();
    }
}

impl<const N: usize> fmt::Debug for Locked<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Locked(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether the page at `address` is locked: the flag `lo` in smaps (proc(5)).
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

    /// A short secret and one of several pages, from the first byte to the last.
    #[test]
    fn a_secret_is_locked_as_long_as_it_lives() {
        fn check<const N: usize>(len: usize) {
            let mut secret = Locked::<N>::zeroed(len);
            secret.bytes_mut().fill(7);
            let copy = secret.clone();
            assert_eq!(copy.bytes(), vec![7; len]);
            let address = copy.bytes().as_ptr() as usize;
            drop(secret);
            for address in [address, address + N - 1] {
                assert!(is_locked(address), "one does not unlock another");
            }
            let unlocked = Box::new(Pages([0; N]));
            assert!(!is_locked(unlocked.0.as_ptr() as usize), "the control");
        }
        check::<4096>(32);
        check::<16384>(16384);
    }

    #[test]
    fn the_length_ends_with_the_memory() {
        let mut secret = Locked::<8>::zeroed(8);
        assert_eq!(secret.spare_mut().len(), 0);
        secret.set_len(3);
        assert_eq!((secret.bytes().len(), secret.spare_mut().len()), (3, 5));
        for longer in [9, usize::MAX] {
            std::panic::catch_unwind(|| Locked::<8>::zeroed(longer)).unwrap_err();
            let mut secret = Locked::<8>::zeroed(0);
            std::panic::catch_unwind(move || secret.set_len(longer)).unwrap_err();
        }
    }

    #[test]
    fn bytes_that_were_left_out_are_wiped_as_well() {
        let mut secret = Locked::<4096>::zeroed(15);
        secret.bytes_mut().copy_from_slice(b"a secret number");
        secret.set_len(1);
        assert_eq!(secret.pages.0[..15], *b"a secret number");
        secret.wipe();
        assert_eq!(secret.pages.0, [0; 4096]);
    }

    #[test]
    fn a_secret_is_never_printed() {
        let mut secret = Locked::<4096>::zeroed(6);
        secret.bytes_mut().copy_from_slice(b"sesame");
        assert_eq!(format!("{secret:?}"), "Locked(…)");
    }
}
